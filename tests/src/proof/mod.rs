//! `make proof`: the same load and the same story for every way from a CLB to a pod, and a count of every
//! request that went wrong: when, to which pod, and why. The journey `proof` plays a short form of it.
//!
//! Pure: [`arm`], [`plan`], [`schedule`], [`answer`], [`tally`], [`blame`], [`report`], [`table`], [`chart`],
//! [`page`]. The rest does what they say and writes down what happens.

pub mod answer;
pub mod arm;
pub mod blame;
pub mod chart;
mod client;
mod cloud;
mod crash;
mod ground;
pub mod load;
pub mod page;
pub mod plan;
mod pods;
pub mod report;
pub mod run;
pub mod schedule;
mod sockets;
mod steps;
pub mod table;
pub mod tally;
