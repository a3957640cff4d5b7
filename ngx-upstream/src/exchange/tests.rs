use super::*;
use std::cell::RefCell;
use std::rc::Rc;

/// Writes down its calls. Speaks: `h`, a head; `i`, an interim head; `b`, body; `.`, keep; `!`, close.
struct Recorder(Rc<RefCell<Vec<String>>>);

impl Recorder {
    fn note(&self, call: impl Into<String>) {
        self.0.borrow_mut().push(call.into());
    }
}

impl Protocol for Recorder {
    type Head = u8;

    fn create_request(&mut self, out: &mut Chain) -> Result<(), ProtocolError> {
        self.note("create");
        out.push("request");
        Ok(())
    }

    fn reinit_request(&mut self) -> Result<(), ProtocolError> {
        self.note("reinit");
        Ok(())
    }

    fn process_header(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut HeadSink<'_, u8>,
    ) -> Result<Step<u8>, ProtocolError> {
        while let Some(byte) = input.take_byte() {
            match byte {
                b'i' => {
                    sink.interim(byte);
                    sink.to_peer("go on");
                }
                b'h' => return Ok(Step::Ready(byte)),
                b'u' => return Ok(Step::Upgrade(byte)),
                b'-' => {}
                _ => return Err(ProtocolError::invalid("invalid header")),
            }
        }
        Ok(Step::Again)
    }

    fn input_filter(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut BodySink<'_>,
    ) -> Result<BodyStep, ProtocolError> {
        while let Some(byte) = input.take_byte() {
            match byte {
                b'.' => return Ok(BodyStep::Keep),
                b'!' => return Ok(BodyStep::Close),
                b't' => sink.trailer("name".into(), "value".into()),
                _ => sink.push(Bytes::copy_from_slice(&[byte])),
            }
        }
        Ok(BodyStep::Again)
    }

    fn abort_request(&mut self) {
        self.note("abort");
    }

    fn finalize_request(&mut self, outcome: Outcome) {
        self.note(format!("finalize {outcome:?}"));
    }

    fn output_filter(
        &mut self,
        body: Chain,
        last: bool,
        out: &mut Chain,
    ) -> Result<(), ProtocolError> {
        self.note(format!("output {last}"));
        out.append(body);
        Ok(())
    }
}

fn recorded(run: impl FnOnce(&mut Exchange<Recorder>)) -> Vec<String> {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let mut exchange = Exchange::new(Recorder(calls.clone()), Limits { head: 8 });
    run(&mut exchange);
    drop(exchange);
    Rc::try_unwrap(calls).unwrap().into_inner()
}

fn done(exchange: &mut Exchange<Recorder>) -> Reuse {
    loop {
        match exchange.poll().unwrap() {
            Event::Again => panic!("not done"),
            Event::Done(reuse) => return reuse,
            _ => {}
        }
    }
}

#[test]
fn a_whole_exchange() {
    let calls = recorded(|exchange| {
        exchange.begin().unwrap();
        assert_eq!(exchange.take_output().to_vec(), b"request");
        exchange.feed(b"ihbbt.");
        assert!(matches!(exchange.poll(), Ok(Event::Interim(b'i'))));
        assert_eq!(exchange.take_output().to_vec(), b"go on");
        assert!(matches!(exchange.poll(), Ok(Event::Head(b'h'))));
        let Ok(Event::Body(body)) = exchange.poll() else {
            panic!("no body")
        };
        assert_eq!(body.to_vec(), b"bb");
        let Ok(Event::Trailers(trailers)) = exchange.poll() else {
            panic!("no trailers")
        };
        assert_eq!(trailers, [("name".into(), "value".into())]);
        assert_eq!(done(exchange), Reuse::Keep);
        assert_eq!(done(exchange), Reuse::Keep);
        exchange.finalize();
        exchange.finalize();
        exchange.abort();
    });
    assert_eq!(calls, ["create", "finalize Complete(Keep)"]);
}

#[test]
fn a_retry_replays_the_request_and_forgets_the_response() {
    let calls = recorded(|exchange| {
        exchange.begin().unwrap();
        let _ = exchange.take_output();
        exchange.feed(b"?left over");
        assert_eq!(
            exchange.poll().unwrap_err(),
            ProtocolError::invalid("invalid header")
        );
        exchange.begin().unwrap();
        assert_eq!(exchange.take_output().to_vec(), b"request");
        assert!(matches!(exchange.poll(), Ok(Event::Again)));
        exchange.feed(b"h!");
        assert_eq!(done(exchange), Reuse::Close);
    });
    assert_eq!(calls, ["create", "reinit", "finalize Complete(Close)"]);
}

#[test]
fn dropping_aborts_then_finalizes() {
    assert_eq!(recorded(|_| {}), [""; 0]);
    let calls = recorded(|exchange| exchange.begin().unwrap());
    assert_eq!(calls, ["create", "abort", "finalize Aborted"]);
    let calls = recorded(|exchange| {
        exchange.begin().unwrap();
        exchange.fail();
    });
    assert_eq!(calls, ["create", "finalize Failed"]);
}

#[test]
fn more_than_the_response_or_the_end_forbids_reuse() {
    for (bytes, eof, reuse) in [
        ("h.", false, Reuse::Keep),
        ("h.x", false, Reuse::Close),
        ("h.", true, Reuse::Close),
    ] {
        recorded(|exchange| {
            exchange.begin().unwrap();
            exchange.feed(bytes.as_bytes());
            if eof {
                exchange.closed();
            }
            assert_eq!(done(exchange), reuse, "{bytes}");
        });
    }
}

#[test]
fn an_early_end_comes_behind_the_body_that_came() {
    recorded(|exchange| {
        exchange.begin().unwrap();
        exchange.feed(b"hbb");
        exchange.closed();
        assert!(matches!(exchange.poll(), Ok(Event::Head(_))));
        assert!(matches!(exchange.poll(), Ok(Event::Body(_))));
        assert_eq!(exchange.poll().unwrap_err(), ProtocolError::PrematureClose);
    });
}

#[test]
fn the_head_is_limited_however_it_comes() {
    for pieces in crate::testing::splits(b"--------h.") {
        let calls = Rc::default();
        let mut exchange = Exchange::new(Recorder(calls), Limits { head: 8 });
        let seen = crate::testing::play_on(&mut exchange, &pieces, false);
        assert_eq!(
            seen.end,
            crate::testing::End::Error(ProtocolError::TooBigHeader)
        );
    }
}

#[test]
fn a_streamed_body_is_framed_and_not_replayed() {
    let calls = recorded(|exchange| {
        assert!(exchange.push_request_body(Chain::new(), true).is_err());
        exchange.begin().unwrap();
        assert!(exchange.is_replayable() && exchange.begin().is_err());
        exchange
            .push_request_body(Chain::from(Buf::from("body")), true)
            .unwrap();
        assert_eq!(exchange.take_output().to_vec(), b"requestbody");
        assert!(!exchange.is_replayable());
        exchange.feed(b"uraw");
        assert!(matches!(exchange.poll(), Ok(Event::Upgrade(_))));
        assert_eq!(exchange.take_input(), "raw");
        exchange.finalize();
    });
    assert_eq!(calls, ["create", "output true", "finalize Tunnel"]);
}

/// Has its request in memory of its own, and something behind it.
struct Fronted;

impl Protocol for Fronted {
    type Head = u8;

    fn create_request(&mut self, out: &mut Chain) -> Result<(), ProtocolError> {
        out.push("behind");
        Ok(())
    }

    fn front(&self) -> &[u8] {
        b"front "
    }

    fn process_header(
        &mut self,
        _: &mut Input<'_>,
        _: &mut HeadSink<'_, u8>,
    ) -> Result<Step<u8>, ProtocolError> {
        Err(ProtocolError::invalid("anything"))
    }

    fn input_filter(
        &mut self,
        _: &mut Input<'_>,
        _: &mut BodySink<'_>,
    ) -> Result<BodyStep, ProtocolError> {
        Ok(BodyStep::Keep)
    }
}

#[test]
fn the_front_goes_out_before_the_request_in_each_try() {
    let mut exchange = Exchange::new(Fronted, Limits::default());
    assert!(!exchange.has_output(), "nothing has begun");
    for sent in 0..=12 {
        exchange.begin().unwrap();
        let mut outgoing = exchange.outgoing();
        outgoing.advance(sent);
        assert_eq!(outgoing.is_empty(), sent == 12);
        assert_eq!(exchange.has_output(), sent < 12);
        let rest = exchange.take_output().to_vec();
        assert_eq!(rest, b"front behind"[sent..]);
        assert!(!exchange.has_output());
        exchange.fail();
    }
    exchange.begin().unwrap();
    exchange.outgoing().clear();
    assert!(!exchange.has_output());
}
