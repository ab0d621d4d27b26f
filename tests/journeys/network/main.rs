//! Network modes: which pods a CLB can reach, and what TKE's own examples do in each mode. A program of its
//! own: it changes settings that bear on every pod.

mod examples;
mod modes;
