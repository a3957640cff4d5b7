//! Variables and templates together.
