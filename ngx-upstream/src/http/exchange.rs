//! One request, one exchange: drives it and gives the response to the client.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use ngx_buf::{Buf, Chain, Flags, Flow};
use ngx_core::http::{BodyPiece, Downstream, PhaseStep, Request, SendError, Step};
use ngx_core::{error, info};

use super::peers::Group;
use super::state::State;
use crate::connect::Sockets;
use crate::driver::{Client, ClientError, Disposition, Driver, End, Tries, Try};
use crate::error::{Error, ErrorKind, ProtocolError};
use crate::peer::{Peer, RoundRobinSession};
use crate::pipe::Mode;
use crate::pool::Pool;
use crate::protocol::Protocol;

/// What a protocol's module does with the heads of responses.
pub(super) trait Front<H> {
    /// The HTTP status that a head stands for.
    fn status(&self, head: &H) -> u16;

    /// Fills the response to `r` in, or says what becomes of the request instead.
    fn head(&mut self, r: &Request, state: &State, head: H) -> Answer;

    /// Fills the response to `r` in, which switches protocols.
    fn upgrade(&mut self, r: &Request, state: &State, head: H);

    /// How the log says what went wrong.
    fn say(&self, error: &Error) -> String {
        error.to_string()
    }
}

/// What becomes of a request whose backend has answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// The response is filled in; its body follows, in this way or as the settings say.
    Send(Option<Mode>),
    /// The request ends with this status.
    Finish(u16),
    /// It goes to this URI inside the server (`X-Accel-Redirect`).
    Redirect(Bytes),
}

/// The driver of an exchange with HTTP's peers.
pub(super) type HttpDriver<P> = Driver<P, RoundRobinSession, Rc<Pool<Sockets>>>;

/// Runs an exchange and says how the request goes on.
///
/// # Cancel safety
/// Dropping the future and the driver ends the exchange.
pub(super) async fn run<P, F>(driver: &mut HttpDriver<P>, talk: &mut Talk<F>) -> PhaseStep
where
    P: Protocol,
    F: Front<P::Head>,
{
    let result = driver.drive(talk).await;
    talk.end(result, driver.tries())
}

/// The client's side of an exchange.
pub(super) struct Talk<F> {
    r: Request,
    downstream: Option<Rc<dyn Downstream>>,
    state: Rc<State>,
    /// Whom the exchange asks.
    group: Rc<Group>,
    front: F,
    ignore_client_abort: bool,
    stage: Stage,
}

impl<F> Talk<F> {
    /// The client of `r`, for an exchange with this group of peers.
    #[inline]
    pub(super) fn new(
        r: &Request,
        (state, group): (Rc<State>, Rc<Group>),
        front: F,
        ignore_client_abort: bool,
    ) -> Self {
        Self {
            r: r.clone(),
            downstream: r.downstream(),
            state,
            group,
            front,
            ignore_client_abort,
            stage: Stage::Waiting,
        }
    }

    /// Whom the exchange asks.
    pub(super) fn group(&self) -> &Group {
        &self.group
    }
}

enum Stage {
    /// No head has come.
    Waiting,
    /// The response is on its way to the client.
    Sending,
    /// All of it is.
    Sent,
    /// Bytes pass both ways.
    Tunnel,
    /// The backend's body is not wanted.
    Elsewhere(Answer),
    /// A filter makes another response, or the client has left.
    Over,
}

impl<F> Talk<F> {
    fn send_header(&mut self) -> Result<(), ()> {
        match self.r.send_header() {
            Ok(_) => Ok(()),
            Err(failed) => {
                if !matches!(failed, SendError::Replaced(_)) {
                    info!("{failed} while sending to client");
                }
                self.stage = Stage::Over;
                Err(())
            }
        }
    }

    fn log<H>(&self, failed: &Error)
    where
        F: Front<H>,
    {
        let text = self.front.say(failed);
        if failed.is_client() {
            info!("{text}");
        } else {
            error!("{text}");
        }
    }

    /// Says how the request goes on.
    pub(super) fn end(&mut self, result: Result<End, Error>, tries: &mut Tries) -> PhaseStep {
        if let Err(failed) = &result
            && matches!(failed.kind(), ErrorKind::NoLive)
        {
            tries.push(nobody(&self.group.name));
        }
        self.state.note_tries(tries);
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        match (stage, result) {
            (Stage::Elsewhere(Answer::Finish(status)), _) => Step::Finish(status),
            (Stage::Elsewhere(Answer::Redirect(uri)), _) => redirect(&self.r, &uri),
            (Stage::Elsewhere(Answer::Send(_)) | Stage::Over, _)
            | (Stage::Tunnel, Ok(_))
            | (Stage::Sending, Ok(End::Discarded | End::Tunnel))
            | (Stage::Sent, _) => Step::Done,
            (Stage::Waiting, Ok(_)) => Step::Finish(502),
            (Stage::Sending, Ok(End::Complete)) => {
                send(&self.r, Chain::from(Buf::special(Flags::LAST_BUF)));
                Step::Done
            }
            (Stage::Waiting, Err(failed)) => Step::Finish(failed.status()),
            (Stage::Sending, Err(_)) => {
                // What has come goes out, and nothing says that it was all.
                send(&self.r, Chain::from(Buf::special(Flags::FLUSH)));
                Step::Done
            }
            (Stage::Tunnel, Err(_)) => Step::Done,
        }
    }
}

fn send(r: &Request, chain: Chain) {
    if let Err(failed) = r.output(chain)
        && !matches!(failed, SendError::Replaced(_))
    {
        info!("{failed} while sending to client");
    }
}

/// A try that no peer was found for stands in the variables under the name of the group.
fn nobody(name: &Arc<str>) -> Try {
    Try {
        peer: Arc::clone(name),
        reused: false,
        connect_time: None,
        header_time: None,
        response_time: Some(std::time::Duration::ZERO),
        sent: 0,
        received: 0,
        body: 0,
        status: 502,
    }
}

fn redirect(r: &Request, uri: &[u8]) -> PhaseStep {
    use ngx_core::http::parse::{Method, normalize, split_args};
    if uri.starts_with(b"@") {
        return r.named_location(uri);
    }
    let (path, args) = split_args(uri);
    let mut normal = Vec::with_capacity(path.len());
    if normalize(path, true, &mut normal).is_err() {
        error!(
            "unsafe URI \"{}\" was detected",
            String::from_utf8_lossy(uri)
        );
        return Step::Finish(404);
    }
    if r.method() != Method::Head {
        r.set_method(Method::Get);
    }
    r.internal_redirect(&normal, args.unwrap_or_default())
}

impl<H, F: Front<H>> Client<H> for Talk<F> {
    fn status(&mut self, head: &H) -> Option<u16> {
        Some(self.front.status(head))
    }

    fn head(&mut self, head: H, tries: &[Try]) -> Disposition {
        self.state.note_tries(tries);
        match self.front.head(&self.r, &self.state, head) {
            Answer::Send(mode) => {
                self.stage = Stage::Sending;
                if self.send_header().is_err() {
                    return Disposition::Discard;
                }
                mode.map_or(Disposition::Pass, Disposition::PassIn)
            }
            answer => {
                self.stage = Stage::Elsewhere(answer);
                Disposition::Discard
            }
        }
    }

    fn upgrade(&mut self, head: H, tries: &[Try]) {
        self.state.note_tries(tries);
        self.front.upgrade(&self.r, &self.state, head);
        self.stage = Stage::Tunnel;
        if self.send_header().is_ok()
            && let Some(downstream) = &self.downstream
        {
            downstream.upgrade();
        }
    }

    fn body(&mut self, mut chain: Chain) -> Result<Flow, ClientError> {
        let sent = match (&self.stage, &self.downstream) {
            (Stage::Sending, _) => self.r.output(chain),
            (Stage::Tunnel, Some(downstream)) => {
                downstream.send_body(&mut chain).map_err(SendError::Write)
            }
            _ => return Err(ClientError::Closed),
        };
        sent.map_err(|failed| self.lost(&failed))
    }

    fn last_body(&mut self, mut chain: Chain) -> Result<Flow, ClientError> {
        if matches!(self.stage, Stage::Sending) {
            if let Some(last) = chain.back_mut() {
                last.insert_flags(Flags::LAST_BUF);
            }
            let flow = self.body(chain);
            self.stage = Stage::Sent;
            return flow;
        }
        self.body(chain)
    }

    fn last_bytes(&mut self, bytes: Bytes) -> Result<Flow, ClientError> {
        if !matches!(self.stage, Stage::Sending) {
            return Client::<H>::body(self, Chain::from(Buf::from(bytes)));
        }
        self.stage = Stage::Sent;
        let sent = self.r.output_bytes(&bytes, Flags::LAST_BUF);
        sent.map_err(|failed| self.lost(&failed))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        let ready = match (&self.stage, &self.downstream) {
            (Stage::Tunnel, Some(downstream)) => {
                downstream.poll_flush(cx).map_err(SendError::Write)
            }
            _ => self.r.poll_output(cx),
        };
        ready.map_err(|failed| self.lost(&failed))
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.downstream {
            // The end of a tunnel is read as such.
            _ if self.ignore_client_abort || matches!(self.stage, Stage::Tunnel) => Poll::Pending,
            Some(downstream) => downstream.poll_closed(cx),
            None => Poll::Ready(()),
        }
    }

    fn poll_request_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Chain>, ClientError>> {
        if let (Stage::Tunnel, Some(downstream)) = (&self.stage, &self.downstream) {
            return downstream
                .poll_body(cx, TUNNEL_READ)
                .map(|piece| match piece {
                    Ok(BodyPiece::Data(data)) => Ok(Some(Chain::from(Buf::from(data)))),
                    Ok(BodyPiece::End) => Ok(None),
                    Err(_) => Err(ClientError::Closed),
                });
        }
        // What comes at once goes on at once: chunks of the client need not be chunks of ours.
        let mut chain = Chain::new();
        while chain.size() < BODY_BATCH {
            match self.r.poll_body_piece(cx) {
                Poll::Ready(Ok(Some(data))) => chain.push(data),
                Poll::Ready(Err(status)) => return Poll::Ready(Err(ClientError::Code(status))),
                Poll::Ready(Ok(None)) if chain.is_empty() => return Poll::Ready(Ok(None)),
                Poll::Pending if chain.is_empty() => return Poll::Pending,
                Poll::Ready(Ok(None)) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(Some(chain)))
    }

    fn connecting(&mut self, peer: &Peer) {
        self.state.ask(&self.r, &peer.name);
    }

    fn try_failed(&mut self, failed: &Error, tries: &[Try]) {
        if matches!(failed.kind(), ErrorKind::NoLive) {
            self.state.ask(&self.r, &self.group.name);
        }
        self.state.note_tries(tries);
        if is_unasked_upgrade(failed)
            && let Some(downstream) = &self.downstream
        {
            // Who makes a backend switch protocols unasked is not to be trusted with more.
            downstream.forbid_keepalive();
        }
        self.log(failed);
    }
}

/// Whether the backend has switched protocols though the request was not passed on as one that
/// wants that.
fn is_unasked_upgrade(failed: &Error) -> bool {
    match failed.kind() {
        ErrorKind::Protocol(ProtocolError::Invalid(what)) => what.starts_with("101 "),
        _ => false,
    }
}

const TUNNEL_READ: usize = 64 * 1024;
/// Bytes of request body handed on in one go, about.
const BODY_BATCH: u64 = 64 * 1024;

impl<F> Talk<F> {
    fn lost(&self, failed: &SendError) -> ClientError {
        info!("{failed} while sending to client");
        ClientError::Closed
    }
}
