use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// One trigger.
#[derive(Clone, Debug)]
pub struct Event {
    /// The event's name.
    pub name: String,
    /// The session that triggered it, as the broker names it.
    pub sid: String,
    /// The channel it was broadcast on, where the trigger came with a broadcast.
    /// A plain trigger may carry one of the frontend's own making.
    pub channel: Option<String>,
    data: Box<RawValue>,
}

impl Event {
    /// The payload as it came: a JSON object with the frontend's data, and `sid`
    /// (and `channel`) beside it. Numbers are as the frontend wrote them.
    pub fn data(&self) -> &RawValue {
        &self.data
    }

    /// The payload as a type of your own.
    ///
    /// ```no_run
    /// # async fn example(event: kosmonaut::Event) -> Result<(), serde_json::Error> {
    /// let fields: serde_json::Map<String, serde_json::Value> = event.deserialize()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Where the payload is not of that type; frontends send what they like.
    pub fn deserialize<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.get())
    }

    /// The event of a `TR` packet, `{"event":{"sid":"...",...}}`, or `None` where
    /// it has another form.
    pub(super) fn parse(trigger: &[u8]) -> Option<Self> {
        let members: HashMap<String, &RawValue> = serde_json::from_slice(trigger).ok()?;
        let mut members = members.into_iter();
        let (name, data) = members.next()?;
        if members.next().is_some() {
            return None;
        }
        let fields: HashMap<String, &RawValue> = serde_json::from_str(data.get()).ok()?;
        let text =
            |field: &str| -> Option<String> { serde_json::from_str(fields.get(field)?.get()).ok() };
        Some(Self {
            sid: text("sid")?,
            channel: text("channel"),
            name,
            data: data.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_tg_03_tg_06() {
        let plain = Event::parse(br#"{"buy":{"sid":"s-1","n":1.50}}"#).expect("valid");
        assert_eq!((plain.name.as_str(), plain.sid.as_str()), ("buy", "s-1"));
        assert_eq!(plain.channel, None);
        assert_eq!(plain.data().get(), r#"{"sid":"s-1","n":1.50}"#);

        let broadcast =
            Event::parse(br#"{"\u0062uy":{"channel":"shop","sid":"s"}}"#).expect("valid");
        assert_eq!(broadcast.name, "buy");
        assert_eq!(broadcast.channel.as_deref(), Some("shop"));
        let odd = Event::parse(br#"{"buy":{"sid":"s","channel":7}}"#).expect("valid");
        assert_eq!(odd.channel, None);
    }

    #[test]
    fn payloads_become_types() {
        #[derive(Deserialize)]
        struct Order {
            count: u32,
        }
        let event = Event::parse(br#"{"buy":{"sid":"s","count":3}}"#).expect("valid");
        assert_eq!(event.deserialize::<Order>().expect("an order").count, 3);
        assert!(event.deserialize::<Vec<u8>>().is_err());
    }

    #[test]
    fn deep_payloads_pass() {
        let deep = format!(
            r#"{{"e":{{"sid":"s","x":{}{}}}}}"#,
            "[".repeat(511),
            "]".repeat(511)
        );
        assert!(Event::parse(deep.as_bytes()).is_some());
    }

    #[test]
    fn other_forms_are_no_events() {
        for bad in [
            &b""[..],
            b"{}",
            b"[]",
            b"{\"a\":1}",
            b"{\"a\":{}}",
            b"{\"a\":{\"sid\":1}}",
            b"{\"a\":{\"sid\":\"s\"},\"b\":{\"sid\":\"s\"}}",
            b"{\"a\":{\"sid\":\"\xff\"}}",
        ] {
            assert!(
                Event::parse(bad).is_none(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }
}
