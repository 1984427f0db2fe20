//! The API as a whole, through the front door of a node with a simulated host: what holds for every call and every kind because all
//! of it is made from the descriptors. A new kind or call is in these tests by itself.

mod answers;
mod dear;
mod every_kind;
mod hostile;
mod openapi;
mod python_client;
