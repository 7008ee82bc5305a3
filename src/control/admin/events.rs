use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::answers::{Everywhere, Refusal};
use super::body::read_json;
use super::channels::open;
use super::names::{Names, OfChannel, OfSession, OfVhost};
use super::sessions::live;
use crate::control::{Error, Handle};
use crate::hub::question::OperatorEvent;

/// An event for browsers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Event")]
pub(super) struct Event {
    /// Its name; none that begins with a colon, for those are the broker's own.
    #[schema(min_length = 1, pattern = "^[^:]", example = "notice")]
    event: String,
    /// What it carries; `{}` where it is absent. Passed on as it is written.
    #[schema(value_type = Object, required = false)]
    data: Option<Box<RawValue>>,
}

/// Sends an event to all subscribers of a channel
///
/// As a broadcast of a backend: all get it that are not hidden, with `channel`
/// set to the channel's name.
#[utoipa::path(
    post, path = "/{vhost}/channels/{channel}/events", tag = "channels",
    params(OfVhost, OfChannel), request_body = Event,
    responses(
        (status = 202, description = "It has its place in the channel's order"),
        (status = 400, description = "The body is no such event", body = Refusal),
        (status = 404, description = "No such vhost or channel", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn send_channel_event(
    State(handle): State<Handle>,
    names: Names,
    event: Event,
) -> Result<StatusCode, Error> {
    let (vhost, channel) = open(&handle, &names).await?;
    handle.publish(vhost, channel, event.into()).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Sends an event to one session
///
/// It comes as any other event does, without a `channel` unless the data names one.
#[utoipa::path(
    post, path = "/{vhost}/sessions/{sid}/events", tag = "sessions",
    params(OfVhost, OfSession), request_body = Event,
    responses(
        (status = 202, description = "It stands in the session's queue"),
        (status = 400, description = "The body is no such event", body = Refusal),
        (status = 404, description = "No such vhost or session", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn send_session_event(
    State(handle): State<Handle>,
    names: Names,
    event: Event,
) -> Result<StatusCode, Error> {
    let (vhost, sid) = live(&handle, &names).await?;
    handle.tell(vhost, sid, event.into()).await?;
    Ok(StatusCode::ACCEPTED)
}

impl<S: Send + Sync> FromRequest<S> for Event {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        read_json(request, state, "body is no event").await
    }
}

impl From<Event> for OperatorEvent {
    fn from(event: Event) -> Self {
        let data = event.data.as_deref().map_or("{}", RawValue::get);
        Self {
            name: event.event.into(),
            data: data.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8]) -> Result<OperatorEvent, serde_json::Error> {
        serde_json::from_slice::<Event>(body).map(OperatorEvent::from)
    }

    #[test]
    fn data_is_taken_as_it_is_written() {
        let event = read(br#"{"data": {"n":1.0e2 , "u":"\u00e4"} ,"event":"a\u0062"}"#);
        let event = event.expect("an event");
        assert_eq!(&*event.name, "ab");
        assert_eq!(&*event.data, r#"{"n":1.0e2 , "u":"\u00e4"}"#);
        assert_eq!(&*read(br#"{"event":"e"}"#).expect("an event").data, "{}");
    }

    proptest! {
        /// Whatever comes is an event or is none, and what is one has its JSON.
        #[test]
        fn any_bytes_are_an_event_or_refused(
            body in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            if let Ok(event) = read(&body) {
                let data: Result<serde_json::Value, _> = serde_json::from_str(&event.data);
                prop_assert!(data.is_ok());
            }
        }

        /// The same of texts that are nearly events.
        #[test]
        fn near_events_are_events_or_refused(
            name in ".{0,9}",
            data in r#"[\[\]{}:,"\\0-9aeu ]{0,20}"#,
            end in "[ }x]{0,3}",
        ) {
            let name = serde_json::to_string(&name).expect("a string");
            let body = format!("{{\"event\":{name},\"data\":{data}{end}");
            if let Ok(event) = read(body.as_bytes()) {
                let data: Result<serde_json::Value, _> = serde_json::from_str(&event.data);
                prop_assert!(data.is_ok(), "{body}");
            }
        }
    }
}
