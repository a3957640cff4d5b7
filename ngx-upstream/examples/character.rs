//! A protocol of one's own: the client sends a character, the backend answers two. The first is a
//! status (`?` means 404 and the rest is dropped, a space means 200), the second is the body.

use ngx_buf::Chain;
use ngx_upstream::connect::Sockets;
use ngx_upstream::driver::{Collect, Driver, Settings};
use ngx_upstream::peer::{Addr, Balancer, Peer, RoundRobin, Server};
use ngx_upstream::{BodySink, BodyStep, HeadSink, Input, Protocol, ProtocolError, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Result<T> = std::result::Result<T, ProtocolError>;

/// One exchange: what is asked, and whether the backend knows it.
pub(crate) struct Character(pub(crate) u8, pub(crate) bool);

impl Protocol for Character {
    type Head = u16;

    fn create_request(&mut self, out: &mut Chain) -> Result<()> {
        out.push(vec![self.0]);
        Ok(())
    }

    fn process_header(
        &mut self,
        input: &mut Input<'_>,
        _: &mut HeadSink<'_, u16>,
    ) -> Result<Step<u16>> {
        self.1 = match input.take_byte() {
            Some(b' ') => true,
            Some(b'?') => false,
            Some(_) => return Err(ProtocolError::invalid("invalid status character")),
            None => return Ok(Step::Again),
        };
        Ok(Step::Ready(if self.1 { 200 } else { 404 }))
    }

    fn input_filter(&mut self, input: &mut Input<'_>, sink: &mut BodySink<'_>) -> Result<BodyStep> {
        let Some(character) = input.take_exact(1) else {
            return Ok(BodyStep::Again);
        };
        if self.1 {
            sink.push(character);
        }
        Ok(BodyStep::Keep)
    }
}

/// Knows small letters, and answers with the next one.
async fn backend(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let ask = stream.read_u8().await?;
        let answer = if ask.is_ascii_lowercase() {
            [b' ', ask + 1]
        } else {
            *b"?x"
        };
        stream.write_all(&answer).await?;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let balancer = RoundRobin::new([Server::new(Peer::new(Addr::from(listener.local_addr()?)))]);
    tokio::spawn(backend(listener));
    for ask in *b"a!y" {
        let session = balancer.session(b"");
        let mut driver = Driver::new(Character(ask, false), session, Sockets, Settings::default());
        let mut answer = Collect::new(1);
        let report = driver.run(&mut answer).await;
        println!(
            "{:?} {:?} {:?}",
            report.result,
            answer.head,
            answer.body.escape_ascii().to_string()
        );
    }
    Ok(())
}
