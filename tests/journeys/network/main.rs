//! Network modes: which pods a CLB can reach, and what TKE's own examples do in each mode; and an API server
//! that is away for a while. A program of its own: what it changes bears on everybody.

mod api_server;
mod examples;
mod modes;
