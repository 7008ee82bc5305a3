//! What control asks of a shard, and what the shard answers.
//!
//! A question is answered within one turn and visits no more than
//! [`QUESTION_VISITS_MAX`] sessions, subscribers or channels. Where there are
//! more, the answer names the place to go on from, and control asks again: the
//! shard keeps nothing of a question, and its traffic goes between.

#[cfg(test)]
mod tests;

use super::channel::Subscriber;
use super::frames::Encoded;
use super::home::Home;
use super::session::{Session, Subscription};
use super::{Effects, Hub};
use crate::limits::QUESTION_VISITS_MAX;
use crate::model::{ChannelId, ChannelName, Peer, Sid, VhostId};
use crate::wire::event;
use crate::wire::json::{self, Members};

/// What control wants to know, or have done.
#[derive(Clone, Debug)]
pub enum Question {
    /// How many subscribers each of these channels has, hidden ones included
    /// ([AD-20]); goes to their home shard. At most [`QUESTION_VISITS_MAX`].
    Sizes(Box<[ChannelId]>),
    /// The channel's subscribers on this shard, those below this place; the
    /// last ones come first, so that who leaves meanwhile hides nobody.
    Subscribers {
        /// The channel.
        channel: ChannelId,
        /// The place that the answer before named; the largest number at first.
        below: u32,
    },
    /// The records of these members; goes to the channel's home shard. At most
    /// [`QUESTION_VISITS_MAX`].
    Records {
        /// The channel.
        channel: ChannelId,
        /// The members.
        peers: Box<[Peer]>,
    },
    /// Something about sessions of this shard, or for them.
    Sessions {
        /// Where they are.
        vhost: VhostId,
        /// Which of them.
        whose: Whose,
        /// The place that the answer before named; 0 at first.
        from: u32,
        /// What is asked.
        errand: Errand,
    },
    /// An event for all subscribers, as from a backend; goes to the home shard.
    Publish {
        /// The channel.
        channel: ChannelId,
        /// The event.
        event: OperatorEvent,
    },
    /// The home channels with the most broadcasts of late; so many at most.
    Busiest(usize),
}

/// Sessions of one vhost.
#[derive(Clone, Debug)]
pub enum Whose {
    /// Everybody's.
    All,
    /// The one of this name.
    Sid(Sid),
    /// Those authenticated with this identifier.
    Uid(Box<str>),
}

/// What is asked of the sessions found.
#[derive(Clone, Debug)]
pub enum Errand {
    /// [`Finding::Sessions`].
    List,
    /// [`Finding::Session`].
    Show,
    /// [`Finding::Counted`].
    Count,
    /// Sends them away: [`Finding::Counted`].
    Disconnect,
    /// Gives them an event of no channel: [`Finding::Counted`] or [`Finding::Malformed`].
    Tell(OperatorEvent),
}

/// An event that comes from admin.
#[derive(Clone, Debug)]
pub struct OperatorEvent {
    /// Its name, unescaped; never empty, never beginning with a colon.
    pub name: Box<str>,
    /// The text of a JSON object.
    pub data: Box<str>,
}

/// What a shard found or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// To [`Question::Sizes`], in the same order; 0 for a channel that is closed.
    Sizes(Vec<u32>),
    /// To [`Question::Subscribers`].
    Subscribers {
        /// Some, or all.
        found: Vec<SubscriberInfo>,
        /// Where to go on.
        next: Option<u32>,
    },
    /// To [`Question::Records`], in the same order: the members of a JSON
    /// object, without its braces.
    Records(Vec<Option<Box<str>>>),
    /// To [`Errand::List`].
    Sessions {
        /// Some, or all.
        found: Vec<SessionInfo>,
        /// Where to go on.
        next: Option<u32>,
    },
    /// To [`Errand::Show`].
    Session {
        /// The first that was found.
        found: Option<Box<SessionDetail>>,
        /// Where to go on.
        next: Option<u32>,
    },
    /// To errands that only count.
    Counted {
        /// Sessions found.
        sessions: u64,
        /// Their subscriptions.
        subscriptions: u64,
        /// Where to go on.
        next: Option<u32>,
    },
    /// To [`Question::Publish`]: whether the channel was open.
    Published(bool),
    /// The event's data is no JSON object, or nested too deep.
    Malformed,
    /// To [`Question::Busiest`], the busiest first.
    Busiest(Vec<BusyChannel>),
}

/// A subscriber of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberInfo {
    /// Its connection.
    pub peer: Peer,
    /// Its session.
    pub sid: Sid,
    /// Who it is, where it is authenticated.
    pub uid: Option<Box<str>>,
    /// Neither announced nor listed to other subscribers.
    pub hidden: bool,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its name.
    pub sid: Sid,
    /// Who it is, where it is authenticated.
    pub uid: Option<Box<str>>,
    /// How many channels it is subscribed to.
    pub subscriptions: u32,
}

/// A session with its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDetail {
    /// Its name.
    pub sid: Sid,
    /// Who it is, where it is authenticated.
    pub uid: Option<Box<str>>,
    /// Each channel, and whether it is a hidden subscriber there.
    pub channels: Vec<(ChannelName, bool)>,
}

/// A channel with broadcasts of late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyChannel {
    /// Its vhost.
    pub vhost: VhostId,
    /// Its name.
    pub name: ChannelName,
    /// Subscribers on all shards, hidden ones included.
    pub subscribers: u32,
    /// Broadcasts since it was opened.
    pub broadcasts: u64,
    /// Broadcasts of late: ten to twenty seconds.
    pub recent: u32,
}

impl Hub {
    /// Answers control.
    pub(super) fn handle_question(&mut self, question: Question, fx: &mut impl Effects) -> Finding {
        match question {
            Question::Sizes(channels) => {
                let channels = channels.iter().take(QUESTION_VISITS_MAX);
                Finding::Sizes(channels.map(|&channel| self.size(channel)).collect())
            }
            Question::Subscribers { channel, below } => self.list_subscribers(channel, below),
            Question::Records { channel, peers } => {
                let home = self.homes.get(&channel);
                let record = |&peer| Some(home?.roster.record(peer)?.into());
                let peers = peers.iter().take(QUESTION_VISITS_MAX);
                Finding::Records(peers.map(record).collect())
            }
            Question::Sessions {
                vhost,
                whose,
                from,
                errand,
            } => {
                let (chosen, next) = self.choose(vhost, &whose, from);
                self.run_errand(errand, &chosen, next, fx)
            }
            Question::Publish { channel, event } => self.publish_for_operator(channel, &event, fx),
            Question::Busiest(count) => Finding::Busiest(self.busiest(count)),
        }
    }

    fn size(&self, channel: ChannelId) -> u32 {
        self.homes.get(&channel).map_or(0, Home::subscriber_count)
    }

    fn list_subscribers(&self, channel: ChannelId, below: u32) -> Finding {
        let Some(&key) = self.local_keys.get(&channel) else {
            return Finding::Subscribers {
                found: Vec::new(),
                next: None,
            };
        };
        let subscribers = &self.locals[key as usize].subscribers;
        let end = subscribers.len().min(below as usize);
        let begin = end.saturating_sub(QUESTION_VISITS_MAX);
        let info = |subscriber: &Subscriber| {
            let session = self.sessions.get(subscriber.slot as usize)?.as_deref()?;
            Some(SubscriberInfo {
                peer: self.peer(session.conn),
                sid: session.sid,
                uid: session.uid(),
                hidden: subscriber.hidden,
            })
        };
        Finding::Subscribers {
            found: subscribers[begin..end].iter().filter_map(info).collect(),
            next: (begin > 0).then_some(begin as u32),
        }
    }

    /// The slots of the sessions meant, and where to go on.
    fn choose(&self, vhost: VhostId, whose: &Whose, from: u32) -> (Vec<u32>, Option<u32>) {
        let begin = (from as usize).min(self.sessions.len());
        let end = (begin + QUESTION_VISITS_MAX).min(self.sessions.len());
        let meant = |session: &Session| {
            session.vhost == vhost
                && match whose {
                    Whose::All => true,
                    Whose::Sid(sid) => session.sid == *sid,
                    Whose::Uid(uid) => session.user.as_deref().is_some_and(|u| u.uid == *uid),
                }
        };
        let visited = self.sessions[begin..end].iter().flatten();
        let chosen = visited
            .filter(|session| meant(session))
            .map(|session| session.conn.slot)
            .collect();
        (chosen, (end < self.sessions.len()).then_some(end as u32))
    }

    fn run_errand(
        &mut self,
        errand: Errand,
        slots: &[u32],
        next: Option<u32>,
        fx: &mut impl Effects,
    ) -> Finding {
        match errand {
            Errand::List => Finding::Sessions {
                found: self.at(slots).map(Session::info).collect(),
                next,
            },
            Errand::Show => Finding::Session {
                found: self.at(slots).next().map(|session| self.detail(session)),
                next,
            },
            Errand::Count => self.counted(slots, next),
            Errand::Disconnect => {
                for session in self.at(slots) {
                    fx.disconnect(session.conn);
                }
                self.counted(slots, next)
            }
            Errand::Tell(event) => {
                let Some(data) = json::parse_members(&event.data) else {
                    return Finding::Malformed;
                };
                slots
                    .iter()
                    .for_each(|&slot| self.tell(slot, &event.name, data, fx));
                self.counted(slots, next)
            }
        }
    }

    fn at(&self, slots: &[u32]) -> impl Iterator<Item = &Session> {
        let session = |&slot| self.sessions.get(slot as usize)?.as_deref();
        slots.iter().filter_map(session)
    }

    fn counted(&self, slots: &[u32], next: Option<u32>) -> Finding {
        let subscriptions = self.at(slots).map(|session| session.subscriptions.len());
        Finding::Counted {
            sessions: slots.len() as u64,
            subscriptions: subscriptions.sum::<usize>() as u64,
            next,
        }
    }

    fn detail(&self, session: &Session) -> Box<SessionDetail> {
        let channel = |subscription: &Subscription| {
            let local = self.locals.get(subscription.local as usize)?;
            Some((local.name.clone(), subscription.hidden))
        };
        Box::new(SessionDetail {
            sid: session.sid,
            uid: session.uid(),
            channels: session.subscriptions.iter().filter_map(channel).collect(),
        })
    }

    /// Behind all that was published to the session, and within its outbox's bound.
    fn tell(&mut self, slot: u32, name: &str, data: Members<'_>, fx: &mut impl Effects) {
        self.catch_up(slot, fx);
        self.scratch.clear();
        event::direct(&mut self.scratch, &quoted(name), data);
        fx.deliver(slot, &self.scratch);
    }

    fn publish_for_operator(
        &mut self,
        channel: ChannelId,
        event: &OperatorEvent,
        fx: &mut impl Effects,
    ) -> Finding {
        let Some(data) = json::parse_members(&event.data) else {
            return Finding::Malformed;
        };
        let Some(home) = self.homes.get(&channel) else {
            return Finding::Published(false);
        };
        let name = quoted(&event.name);
        let len = name.len() + data.as_str().len();
        let frame = self.frames.encode(len, |out| {
            event::custom(out, &name, data, None, home.name.as_str());
        });
        let frame = &mut Encoded::Shared(frame);
        Finding::Published(self.spread(channel, frame, true, self.turn, None, fx))
    }

    fn busiest(&self, count: usize) -> Vec<BusyChannel> {
        let info = |channel: &ChannelId| {
            let home = self.homes.get(channel)?;
            Some(BusyChannel {
                vhost: home.vhost,
                name: home.name.clone(),
                subscribers: home.subscriber_count(),
                broadcasts: home.tally.total,
                recent: self.busy.recent(&home.tally),
            })
        };
        let mut busiest: Vec<_> = self.busy.channels().iter().filter_map(info).collect();
        busiest.sort_unstable_by_key(|channel| std::cmp::Reverse(channel.recent));
        busiest.truncate(count);
        busiest
    }
}

impl Session {
    fn uid(&self) -> Option<Box<str>> {
        self.user.as_deref().map(|user| user.uid.clone())
    }

    fn info(&self) -> SessionInfo {
        SessionInfo {
            sid: self.sid,
            uid: self.uid(),
            subscriptions: self.subscriptions.len() as u32,
        }
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    json::write_string(&mut quoted, text);
    quoted
}
