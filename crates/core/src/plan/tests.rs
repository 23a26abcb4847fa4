//! `plan` as a whole. What its sections decide is tested beside each of them. Here is a made-up
//! world (`world.rs`), what can happen in it (`moves.rs`), every state a small one can come to
//! (`explore.rs`), histories drawn at random (`histories.rs`), and those that are kept
//! (`history.rs`, `corpus/`).

pub(crate) mod scene;
pub(crate) mod world;

mod explore;
mod fair;
mod histories;
mod history;
mod lives;
mod moves;
mod peers;
mod same_user;
