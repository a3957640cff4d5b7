//! The body filters of a response, and those of them that wait.

use std::mem;
use std::task::{Context, Poll};

use ngx_buf::{Chain, Flow};

use super::{BodyWait, Output, SendError};
use crate::error;
use crate::http::filter::{BodyStage, copy};
use crate::http::request::Request;
use crate::http::step::Step;

impl Request {
    /// Hands what is in `chain` to the body filters from index `from` on, and what is left to the
    /// client.
    pub(super) fn run_body(&self, from: usize, chain: &mut Chain) -> Result<Flow, SendError> {
        let output = &self.parts().output;
        let stages = &self.http().filters.body;
        let mut left = output.body.get().from(from);
        while let Some(at) = left.pop_first() {
            if output.queue_at(at, chain) {
                return Ok(Flow::Again);
            }
            match stages.get(at) {
                // Memory has nothing to be copied for: most responses need no output chain at all.
                Some(BodyStage::Copy) if output.copy.borrow().is_none() && is_memory(chain) => {}
                Some(BodyStage::Copy) => return self.run_copy(at, chain),
                Some(BodyStage::Filter { run, .. }) => match run(self, mem::take(chain)) {
                    Step::Next(next) => *chain = next,
                    other => return self.body_step(at, other),
                },
                None => break,
            }
        }
        let Some(downstream) = self.downstream() else {
            return Ok(Flow::Done);
        };
        Ok(downstream.send_body(chain)?)
    }

    fn body_step(&self, at: usize, step: Step<Chain>) -> Result<Flow, SendError> {
        match step {
            Step::Next(mut chain) => self.run_body(at + 1, &mut chain),
            Step::Done => Ok(Flow::Done),
            Step::Finish(status) => {
                error!("a body filter ended the response with status {status}");
                Err(SendError::Failed)
            }
            Step::Wait(future) => {
                let output = &self.parts().output;
                output.held.set(true);
                output.waits.borrow_mut().push(BodyWait {
                    filter: at,
                    future: Some(future),
                    queue: Chain::new(),
                });
                Ok(Flow::Again)
            }
        }
    }

    /// Polls every waiting body filter, the last first, and says whether one still waits.
    pub(super) fn poll_body_waits(&self, cx: &mut Context<'_>) -> Result<bool, SendError> {
        let waits = &self.parts().output.waits;
        let mut at = waits.borrow().len();
        while at > 0 {
            at -= 1;
            let Some(mut future) = waits.borrow_mut().get_mut(at).and_then(|w| w.future.take())
            else {
                continue;
            };
            match future.as_mut().poll(cx) {
                Poll::Pending => {
                    if let Some(wait) = waits.borrow_mut().get_mut(at) {
                        wait.future = Some(future);
                    }
                }
                Poll::Ready(step) => {
                    let wait = waits.borrow_mut().remove(at);
                    let _ = self.body_step(wait.filter, step)?;
                    if !wait.queue.is_empty() {
                        self.refill(wait)?;
                    }
                    // What follows may wait anew, behind or in front of here.
                    at = waits.borrow().len();
                }
            }
        }
        Ok(!waits.borrow().is_empty())
    }

    /// Gives a filter that has ended its wait what was queued in front of it, unless the end of
    /// the wait has made it wait again.
    fn refill(&self, mut wait: BodyWait) -> Result<(), SendError> {
        let waits = &self.parts().output.waits;
        if let Some(again) = waits
            .borrow_mut()
            .iter_mut()
            .find(|w| w.filter == wait.filter)
        {
            again.queue.append(wait.queue);
            return Ok(());
        }
        self.run_body(wait.filter, &mut wait.queue).map(|_| ())
    }

    /// The copy filter: what later filters or the client cannot take as it is, is copied.
    pub(super) fn run_copy(&self, at: usize, chain: &mut Chain) -> Result<Flow, SendError> {
        let output = &self.parts().output;
        output.held.set(true);
        // Taken out while it runs: the filters behind it see the output too.
        let mut copy = output
            .copy
            .take()
            .unwrap_or_else(|| copy::output_chain(self));
        let result = copy.send(mem::take(chain), &mut |mut run| {
            self.run_body(at + 1, &mut run)
        });
        output.copy_pending.set((!copy.is_empty()).then_some(at));
        output.copy.replace(Some(copy));
        result
    }
}

impl Output {
    /// Queues what comes for a filter that waits.
    fn queue_at(&self, at: usize, chain: &mut Chain) -> bool {
        if !self.held.get() || self.waits.borrow().is_empty() {
            return false;
        }
        let mut waits = self.waits.borrow_mut();
        let Some(wait) = waits.iter_mut().find(|wait| wait.filter == at) else {
            return false;
        };
        wait.queue.append(mem::take(chain));
        true
    }
}

fn is_memory(chain: &Chain) -> bool {
    chain.iter().all(|buf| !buf.is_file())
}
