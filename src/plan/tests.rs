//! `plan` as a whole. What its sections decide is tested beside each of them; here are whole lives in a
//! made-up world, and histories drawn at random.

pub(crate) mod scene;
pub(crate) mod world;

mod histories;
mod lives;
mod peers;
