//! `ngx.sleep`.

use std::rc::Rc;
use std::time::Duration;

use ngx_core::debug;

use super::{Engine, wait};
use crate::ffi::{Call, Raise, Reply, Values, function};

/// The longest sleep, about 24 days, as nginx's timers have it.
const LONGEST: f64 = 2_147_483_647.0;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    ngx.set("sleep", engine.raw().create_function(function(sleep))?)
}

/// `ngx.sleep(seconds)`, to the millisecond; 0 lets others run.
fn sleep(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 1 {
        let message = format!("attempt to pass {} arguments, but accepted 1", call.count());
        return Err(message.into());
    }
    let millis = (call.want_number(1)? * 1000.0).trunc();
    let Some(time) = duration(millis) else {
        return Err(format!("invalid sleep duration \"{millis}\"").into());
    };
    debug!("lua ready to sleep for {millis} ms");
    #[cfg(feature = "http")]
    let request = {
        let guest = call.lane().run().guest();
        guest.map(|guest| guest.request.clone())
    };
    wait(call, async move {
        if time.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(time).await;
        }
        #[cfg(feature = "http")]
        if let Some(r) = request {
            let (path, args) = (r.path(), r.args());
            let (path, args) = (path.escape_ascii(), args.escape_ascii());
            debug!("lua sleep timer expired: \"{path}?{args}\"");
        }
        Values::new()
    })
}

/// A time in whole milliseconds; `None` for what no timer takes.
pub(super) fn duration(millis: f64) -> Option<Duration> {
    (0.0..=LONGEST)
        .contains(&millis)
        .then(|| Duration::from_secs_f64(millis / 1000.0))
}
