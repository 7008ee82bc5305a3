//! Frontend messages: one JSON object with one member, the event's name, whose
//! value is the payload (spec 3.2 to 3.4).

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{Malformed, Message, decode, decode_text};
pub use encode::{
    authenticated, closed, connected, custom, departure_record, direct, dropped, error,
    member_joined, member_left, presence_record, subscribed, unsubscribed,
};
