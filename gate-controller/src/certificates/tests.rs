//! Reports and progress over states of an installation, and a whole rotation against an API server in memory.

mod installation;
mod progress;
mod reports;
mod requests;
mod rotation;
mod server;
