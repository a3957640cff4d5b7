//! Sockets that requests and other runs keep, for scripts that know their numbers.
//!
//! A script holds a table with a number inside. Who keeps the socket is the request that made it:
//! it ends with the request, so that there is nothing for Lua's collector to find and to finalize,
//! and its memory serves the next one. The number of a socket that has ended names nothing.

use std::cell::RefCell;
use std::rc::Rc;

use super::socket::Socket;
use crate::ffi::{Call, Inside, Raise};
use crate::sched::Endings;

/// The sockets of a VM that are known by numbers.
#[derive(Default)]
pub(crate) struct Sockets(RefCell<Places>);

#[derive(Default)]
struct Places {
    all: Vec<Place>,
    /// Where there is room.
    free: Vec<u32>,
}

/// Where one socket after the other is.
struct Place {
    /// The upper bits of the number of whatever is here now.
    turn: u64,
    /// Where there is room, one that can serve again.
    socket: Option<Rc<Socket>>,
}

/// The bits of the number 2^52, which is the first one of a socket, and those of its exponent: with
/// them, the other bits count. No number that scripts have for another reason is as large.
const FIRST: u64 = 0x433 << 52;
/// The lowest bits say where a socket is, those above whose turn it is there.
const PLACE_BITS: u32 = 18;
const PLACES_MAX: usize = 1 << PLACE_BITS;
const TURN_MAX: u64 = FIRST >> PLACE_BITS | ((1 << (52 - PLACE_BITS)) - 1);
/// A run that goes on for days may make sockets all the time. More than these are Lua's to collect.
const MOST: usize = 8;
/// A burst must not be kept for ever.
const SPARE_MAX: usize = 256;

impl Sockets {
    /// A new socket and its number, kept until `endings` end; none if there are too many.
    fn add(self: &Rc<Self>, endings: &Endings) -> Option<(f64, Rc<Socket>)> {
        let places = &mut *self.0.borrow_mut();
        let at = match places.free.pop() {
            Some(at) => at,
            None if places.all.len() < PLACES_MAX => {
                places.all.push(Place {
                    turn: FIRST >> PLACE_BITS,
                    socket: None,
                });
                u32::try_from(places.all.len() - 1).ok()?
            }
            None => return None,
        };
        let place = places.all.get_mut(at as usize)?;
        let make = || Rc::new(Socket::at(Rc::downgrade(self), at));
        let socket = Rc::clone(place.socket.get_or_insert_with(make));
        socket.kept_by.set(endings.id());
        endings.keep(Rc::<Socket>::clone(&socket));
        let number = f64::from_bits((place.turn << PLACE_BITS) | u64::from(at));
        Some((number, socket))
    }

    /// The socket of that number, unless it has ended.
    #[inline]
    fn find(&self, number: f64) -> Option<Rc<Socket>> {
        let number = number.to_bits();
        let places = self.0.borrow();
        let place = places.all.get(number as usize & (PLACES_MAX - 1))?;
        let is_it = place.turn == number >> PLACE_BITS;
        place.socket.as_ref().filter(|_| is_it).cloned()
    }

    /// The request that kept a socket is over.
    pub(super) fn release(&self, at: u32, socket: Rc<Socket>) {
        drop(socket);
        let places = &mut *self.0.borrow_mut();
        let Some(place) = places.all.get_mut(at as usize) else {
            return;
        };
        place.turn = match place.turn {
            TURN_MAX => FIRST >> PLACE_BITS,
            turn => turn + 1,
        };
        let alone = place.socket.as_mut().and_then(Rc::get_mut);
        match alone {
            Some(socket) if places.free.len() < SPARE_MAX => socket.renew(),
            // Whoever still has it, has it for himself.
            _ => place.socket = None,
        }
        places.free.push(at);
    }
}

/// A new socket that the run of the call keeps; none if it keeps enough of them.
pub(super) fn new(call: &Call<'_>) -> Option<f64> {
    let endings = call.lane().run().endings();
    if endings.kept() >= MOST {
        return None;
    }
    let added = call.lane().engine().sockets().add(endings);
    added.map(|(number, _)| number)
}

/// The socket whose method is called.
#[inline(never)]
pub(super) fn this(call: &Call<'_>) -> Result<Rc<Socket>, Raise> {
    let number = call.number_inside(1);
    match call.lane().engine().sockets().find(number) {
        Some(socket) => Ok(socket),
        None => other(call),
    }
}

/// The socket whose method is called, if its number names nothing.
#[cold]
fn other(call: &Call<'_>) -> Result<Rc<Socket>, Raise> {
    match call.inside(1)? {
        Inside::Number(number) => anew(call, number),
        Inside::Value(socket) => Ok(socket),
    }
}

/// What was kept by a request that is over begins anew for this one.
fn anew(call: &Call<'_>, number: f64) -> Result<Rc<Socket>, Raise> {
    if number.to_bits() >> 52 != FIRST >> 52 {
        return Err(Raise::Argument(1, "socket expected".into()));
    }
    let sockets = call.lane().engine().sockets();
    let added = sockets.add(call.lane().run().endings());
    let (number, socket) = added.ok_or("too many sockets")?;
    call.set_inside(1, number);
    Ok(socket)
}
