//! A protocol of one's own: the client sends a character, the backend answers two. The first is a
//! status (`?` means 404 and the rest is dropped, a space means 200), the second is the body.
//!
//! `cargo run -p ngx-upstream --example character` asks a backend that lives in this file.

use ngx_buf::{Chain, Flow};
use ngx_upstream::connect::Sockets;
use ngx_upstream::driver::{Client, ClientError, Disposition, Driver, Settings, Try};
use ngx_upstream::peer::{Addr, Balancer, Peer, RoundRobin, Server};
use ngx_upstream::{BodySink, BodyStep, HeadSink, Input, Outcome, Protocol, ProtocolError, Step};
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The state of one exchange.
pub struct Character {
    pub ask: u8,
    pub found: bool,
}

impl Protocol for Character {
    type Head = u16;

    fn create_request(&mut self, out: &mut Chain) -> Result<(), ProtocolError> {
        out.push(vec![self.ask]);
        Ok(())
    }

    fn process_header(
        &mut self,
        input: &mut Input<'_>,
        _: &mut HeadSink<'_, u16>,
    ) -> Result<Step<u16>, ProtocolError> {
        self.found = match input.take_byte() {
            Some(b' ') => true,
            Some(b'?') => false,
            Some(_) => return Err(ProtocolError::invalid("invalid status character")),
            None => return Ok(Step::Again),
        };
        Ok(Step::Ready(if self.found { 200 } else { 404 }))
    }

    fn input_filter(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut BodySink<'_>,
    ) -> Result<BodyStep, ProtocolError> {
        let character = input.take(1);
        let step = if character.is_empty() {
            BodyStep::Again
        } else {
            BodyStep::Keep
        };
        if self.found {
            sink.push(character);
        }
        Ok(step)
    }

    fn reinit_request(&mut self) -> Result<(), ProtocolError> {
        self.found = false;
        Ok(())
    }

    fn abort_request(&mut self) {
        println!("aborted");
    }

    fn finalize_request(&mut self, outcome: Outcome) {
        println!("{outcome:?}");
    }
}

/// Prints what comes.
struct Printer;

impl Client<u16> for Printer {
    fn head(&mut self, status: u16, _: &[Try]) -> Disposition {
        println!("{status}");
        Disposition::Pass
    }

    fn body(&mut self, chain: Chain) -> Result<Flow, ClientError> {
        println!("{}", chain.to_vec().escape_ascii());
        Ok(Flow::Done)
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }
}

/// Answers letters with the next one; knows nothing else.
async fn backend(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            while let Ok(ask) = stream.read_u8().await {
                let known = ask.is_ascii_lowercase();
                let answer = if known { [b' ', ask + 1] } else { *b"?x" };
                stream.write_all(&answer).await?;
            }
            std::io::Result::Ok(())
        });
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let peer = Peer::new(Addr::from(listener.local_addr()?));
    tokio::spawn(backend(listener));

    let mut balancer = RoundRobin::new([Server::new(peer)]);
    for ask in *b"a!z" {
        let protocol = Character { ask, found: false };
        let driver = Driver::new(
            protocol,
            balancer.session(b""),
            Sockets,
            Settings::default(),
        );
        if let Err(error) = driver.run(&mut Printer).await.result {
            println!("{error}");
        }
    }
    Ok(())
}
