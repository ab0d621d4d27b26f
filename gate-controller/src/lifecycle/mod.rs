//! Load balancers of our own: made for a Service, shown on it, and deleted with it.

mod made;

pub use made::Made;
