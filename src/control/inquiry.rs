//! What operators ask about the sessions of this node: each question goes to
//! the shards it concerns, and their answers are put together here.
//!
//! A shard answers in pages (`hub::question`); all shards are asked for their
//! next page at once. One deadline covers the whole of it, so that a shard that
//! is stuck is an error and never a hang.

use std::collections::HashSet;
use std::future::Future;

use tokio::time::timeout;

use super::Error;
use super::handle::{Answered, Command, Handle};
use super::registry::{Homed, Numbers};
use super::stats::ChannelStats;
use crate::hub::question::{
    BusyChannel, Errand, Finding, OperatorEvent, Question, SessionDetail, SessionInfo,
    SubscriberInfo, Whose,
};
use crate::limits::{QUESTION_TIMEOUT, QUESTION_VISITS_MAX};
use crate::meter::VhostMeters;
use crate::model::{ChannelId, ChannelName, ShardId, Sid, VhostId, VhostPath};

/// Whom to disconnect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// One session.
    Session(Sid),
    /// All sessions that are authenticated with this identifier.
    User(String),
}

/// A channel's subscriber as admin sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Its session.
    pub sid: Sid,
    /// Who it is, where it is authenticated.
    pub uid: Option<Box<str>>,
    /// Neither announced nor listed to other subscribers.
    pub hidden: bool,
    /// A visible presence member's record: the text of a JSON object.
    pub record: Option<String>,
}

/// What a vhost has at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VhostCounts {
    /// Sessions, authenticated or not.
    pub sessions: u64,
    /// Their subscriptions.
    pub subscriptions: u64,
    /// Open channels.
    pub channels: u64,
    /// Ready workers.
    pub workers: u64,
    /// Single access tokens that nobody has used.
    pub unused_tokens: u64,
    /// What it has done; unknown where it shares its meters with other vhosts.
    pub traffic: Option<Traffic>,
}

/// What a vhost has done since it was created or the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Broadcasts accepted in it.
    pub broadcasts: u64,
    /// Frames delivered to its frontends.
    pub deliveries: u64,
    /// Triggers handed to its workers.
    pub triggers: u64,
}

impl Traffic {
    fn of(meters: &VhostMeters) -> Self {
        Self {
            broadcasts: meters.sum(|meter| meter.broadcasts.count()),
            deliveries: meters.sum(|meter| meter.deliveries.count()),
            triggers: meters.sum(|meter| meter.triggers.count()),
        }
    }
}

impl Handle {
    /// How many subscribers a channel has, hidden ones included ([AD-20]).
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], [`Error::ChannelNotFound`], [`Error::NoAnswer`].
    pub async fn subscribers(&self, path: VhostPath, name: ChannelName) -> Result<u32, Error> {
        self.in_time(async {
            let homed = self.home(path, name).await?;
            let sizes = self.sizes(&[homed]).await?;
            Ok(sizes.first().copied().unwrap_or_default())
        })
        .await
    }

    /// Every open channel of a vhost by name, with its number of subscribers,
    /// hidden ones included.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], [`Error::NoAnswer`].
    pub async fn channel_sizes(&self, path: VhostPath) -> Result<Vec<(ChannelName, u32)>, Error> {
        self.in_time(async {
            let homes = self.ask(|answer| Command::Homes(path, answer)).await?;
            let sizes = self.sizes(&homes).await?;
            let names = homes.into_iter().map(|homed| homed.name);
            Ok(names.zip(sizes).collect())
        })
        .await
    }

    /// The subscribers of a channel, `limit` of them at the most.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], [`Error::ChannelNotFound`], [`Error::NoAnswer`].
    pub async fn list_subscribers(
        &self,
        path: VhostPath,
        name: ChannelName,
        limit: usize,
    ) -> Result<Vec<Subscriber>, Error> {
        self.in_time(async {
            let presence = name.kind().is_presence();
            let Homed { id, home, .. } = self.home(path, name).await?;
            let mut found = self.find_subscribers(id, limit).await?;
            found.truncate(limit);
            let mut records = vec![None; found.len()];
            if presence {
                for (page, records) in found
                    .chunks(QUESTION_VISITS_MAX)
                    .zip(records.chunks_mut(QUESTION_VISITS_MAX))
                {
                    let peers = page.iter().map(|subscriber| subscriber.peer).collect();
                    let question = Question::Records { channel: id, peers };
                    if let Finding::Records(known) = self.query(home, question).await? {
                        records
                            .iter_mut()
                            .zip(known)
                            .for_each(|(to, from)| *to = from);
                    }
                }
            }
            let subscribers = found.into_iter().zip(records);
            Ok(subscribers.map(subscriber).collect())
        })
        .await
    }

    /// Sessions of a vhost, `limit` of them at the most.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], [`Error::NoAnswer`].
    pub async fn sessions(&self, path: VhostPath, limit: usize) -> Result<Vec<SessionInfo>, Error> {
        self.in_time(async {
            let vhost = self.vhost_id(path).await?;
            let mut sessions = Vec::new();
            self.walk(vhost, &Whose::All, &Errand::List, |finding| {
                let Finding::Sessions { found, next } = finding else {
                    return Ok(None);
                };
                sessions.extend(found);
                Ok(next.filter(|_| sessions.len() < limit))
            })
            .await?;
            sessions.truncate(limit);
            Ok(sessions)
        })
        .await
    }

    /// One session with its channels.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], [`Error::SessionNotFound`], [`Error::NoAnswer`].
    pub async fn session(&self, path: VhostPath, sid: Sid) -> Result<SessionDetail, Error> {
        self.in_time(async {
            let vhost = self.vhost_id(path).await?;
            let mut session = None;
            self.walk(vhost, &Whose::Sid(sid), &Errand::Show, |finding| {
                let Finding::Session { found, next } = finding else {
                    return Ok(None);
                };
                session = found.or(session.take());
                Ok(next.filter(|_| session.is_none()))
            })
            .await?;
            session.map(|it| *it).ok_or(Error::SessionNotFound)
        })
        .await
    }

    /// Closes the connections of these sessions (close code 1008); tells how many.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`]; [`Error::SessionNotFound`] or
    /// [`Error::UserNotFound`] where there is none; [`Error::NoAnswer`], and then
    /// some may be closed already.
    pub async fn disconnect(&self, path: VhostPath, whom: Whom) -> Result<u64, Error> {
        let (whose, missing) = match &whom {
            Whom::Session(sid) => (Whose::Sid(*sid), Error::SessionNotFound),
            Whom::User(uid) => (Whose::Uid(uid.as_str().into()), Error::UserNotFound),
        };
        let counted = self.in_time(async {
            let vhost = self.vhost_id(path.clone()).await?;
            self.count(vhost, &whose, &Errand::Disconnect).await
        });
        let (disconnected, _) = counted.await?;
        if disconnected == 0 {
            return Err(missing);
        }
        tracing::info!(%path, ?whom, disconnected, "admin disconnected sessions");
        Ok(disconnected)
    }

    /// Sends an event of no channel to one session.
    ///
    /// # Errors
    /// [`Error::InvalidEventName`], [`Error::InvalidEventData`],
    /// [`Error::VhostNotFound`], [`Error::SessionNotFound`], [`Error::NoAnswer`].
    pub async fn tell(&self, path: VhostPath, sid: Sid, event: OperatorEvent) -> Result<(), Error> {
        check_name(&event)?;
        self.in_time(async {
            let vhost = self.vhost_id(path).await?;
            let errand = Errand::Tell(event);
            match self.count(vhost, &Whose::Sid(sid), &errand).await? {
                (0, _) => Err(Error::SessionNotFound),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Sends an event to all subscribers of a channel but hidden ones, as a backend would.
    ///
    /// # Errors
    /// [`Error::InvalidEventName`], [`Error::InvalidEventData`],
    /// [`Error::VhostNotFound`], [`Error::ChannelNotFound`], [`Error::NoAnswer`].
    pub async fn publish(
        &self,
        path: VhostPath,
        name: ChannelName,
        event: OperatorEvent,
    ) -> Result<(), Error> {
        check_name(&event)?;
        self.in_time(async {
            let Homed { id, home, .. } = self.home(path, name).await?;
            let question = Question::Publish { channel: id, event };
            match self.query(home, question).await? {
                Finding::Published(true) => Ok(()),
                Finding::Malformed => Err(Error::InvalidEventData),
                // Closed meanwhile.
                _ => Err(Error::ChannelNotFound),
            }
        })
        .await
    }

    /// What a vhost has at this moment.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], [`Error::NoAnswer`].
    pub async fn vhost_counts(&self, path: VhostPath) -> Result<VhostCounts, Error> {
        self.in_time(async {
            let numbers = self.ask(|answer| Command::Numbers(path, answer)).await?;
            let Numbers {
                vhost,
                channels,
                workers,
                tokens,
                meters,
            } = numbers;
            let (sessions, subscriptions) = self.count(vhost, &Whose::All, &Errand::Count).await?;
            Ok(VhostCounts {
                sessions,
                subscriptions,
                channels: channels as u64,
                workers: workers as u64,
                unused_tokens: tokens as u64,
                traffic: meters.as_ref().map(Traffic::of),
            })
        })
        .await
    }

    /// The channels with the most broadcasts of late, the busiest first; at
    /// most `count`.
    ///
    /// # Errors
    /// [`Error::NoAnswer`].
    pub async fn top_channels(&self, count: usize) -> Result<Vec<ChannelStats>, Error> {
        self.in_time(async {
            let mut busiest: Vec<BusyChannel> = Vec::new();
            let mut asked = Vec::new();
            for shard in 0..self.shards {
                asked.push(self.put_query(shard, Question::Busiest(count)).await?);
            }
            for answered in asked {
                if let Finding::Busiest(found) = answered.await.map_err(|_| Error::Stopped)?? {
                    busiest.extend(found);
                }
            }
            busiest.sort_unstable_by_key(|channel| std::cmp::Reverse(channel.recent));
            busiest.truncate(count);
            let vhosts = busiest.iter().map(|channel| channel.vhost).collect();
            let paths = self.ask(|answer| Command::PathsOf(vhosts, answer)).await?;
            let named = busiest.into_iter().zip(paths);
            Ok(named.filter_map(channel_stats).collect())
        })
        .await
    }

    /// With a seat among those who ask, and before the deadline.
    async fn in_time<T>(&self, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let seated = async {
            let _seat = self.inquiries.acquire().await.map_err(|_| Error::Stopped)?;
            asking.await
        };
        let answered = timeout(QUESTION_TIMEOUT, seated).await;
        answered.unwrap_or(Err(Error::NoAnswer))
    }

    async fn home(&self, path: VhostPath, name: ChannelName) -> Result<Homed, Error> {
        self.ask(|answer| Command::Home(path, name, answer)).await
    }

    async fn vhost_id(&self, path: VhostPath) -> Result<VhostId, Error> {
        self.ask(|answer| Command::VhostId(path, answer)).await
    }

    async fn query(&self, shard: ShardId, question: Question) -> Result<Finding, Error> {
        let answered = self.put_query(shard, question).await?;
        answered.await.map_err(|_| Error::Stopped)?
    }

    async fn put_query(
        &self,
        shard: ShardId,
        question: Question,
    ) -> Result<Answered<Finding>, Error> {
        let question = Box::new(question);
        self.put(|answer| Command::Query(shard, question, answer))
            .await
    }

    /// The sizes of these channels, in their order.
    async fn sizes(&self, channels: &[Homed]) -> Result<Vec<u32>, Error> {
        let mut sizes = vec![0; channels.len()];
        let mut places = vec![Vec::new(); usize::from(self.shards)];
        for (place, channel) in channels.iter().enumerate() {
            places[usize::from(channel.home)].push(place);
        }
        let pages = places.iter().map(|it| it.chunks(QUESTION_VISITS_MAX));
        let mut pages: Vec<_> = pages.collect();
        loop {
            let mut asked = Vec::new();
            for (shard, pages) in (0..).zip(&mut pages) {
                if let Some(page) = pages.next() {
                    let ids = page.iter().map(|&place| channels[place].id).collect();
                    asked.push((page, self.put_query(shard, Question::Sizes(ids)).await?));
                }
            }
            if asked.is_empty() {
                return Ok(sizes);
            }
            for (page, answered) in asked {
                if let Finding::Sizes(found) = answered.await.map_err(|_| Error::Stopped)?? {
                    for (&place, size) in page.iter().zip(found) {
                        sizes[place] = size;
                    }
                }
            }
        }
    }

    /// Each subscriber once; a few more than `limit` at the most by one page a shard.
    async fn find_subscribers(
        &self,
        channel: ChannelId,
        limit: usize,
    ) -> Result<Vec<SubscriberInfo>, Error> {
        let mut subscribers = Vec::new();
        // Who takes the place of one that left may be met again.
        let mut met = HashSet::new();
        let ask = |below| Question::Subscribers { channel, below };
        self.rounds(u32::MAX, ask, |finding| {
            let Finding::Subscribers { found, next } = finding else {
                return Ok(None);
            };
            subscribers.extend(found.into_iter().filter(|it| met.insert(it.peer)));
            Ok(next.filter(|_| subscribers.len() < limit))
        })
        .await?;
        Ok(subscribers)
    }

    /// Sessions met and their subscriptions.
    async fn count(
        &self,
        vhost: VhostId,
        whose: &Whose,
        errand: &Errand,
    ) -> Result<(u64, u64), Error> {
        let mut total = (0, 0);
        self.walk(vhost, whose, errand, |finding| match finding {
            Finding::Counted {
                sessions,
                subscriptions,
                next,
            } => {
                total.0 += sessions;
                total.1 += subscriptions;
                Ok(next)
            }
            Finding::Malformed => Err(Error::InvalidEventData),
            _ => Ok(None),
        })
        .await?;
        Ok(total)
    }

    /// Visits the sessions of all shards.
    async fn walk(
        &self,
        vhost: VhostId,
        whose: &Whose,
        errand: &Errand,
        take: impl FnMut(Finding) -> Result<Option<u32>, Error>,
    ) -> Result<(), Error> {
        let ask = |from| Question::Sessions {
            vhost,
            whose: whose.clone(),
            from,
            errand: errand.clone(),
        };
        self.rounds(0, ask, take).await
    }

    /// Asks every shard for a page, then those for the next one that have more,
    /// until `take` names no place to go on from.
    async fn rounds(
        &self,
        first: u32,
        ask: impl Fn(u32) -> Question,
        mut take: impl FnMut(Finding) -> Result<Option<u32>, Error>,
    ) -> Result<(), Error> {
        let mut round: Vec<_> = (0..self.shards).map(|shard| (shard, first)).collect();
        while !round.is_empty() {
            let mut asked = Vec::with_capacity(round.len());
            for (shard, place) in round.drain(..) {
                asked.push((shard, self.put_query(shard, ask(place)).await?));
            }
            for (shard, answered) in asked {
                let finding = answered.await.map_err(|_| Error::Stopped)??;
                round.extend(take(finding)?.map(|place| (shard, place)));
            }
        }
        Ok(())
    }
}

fn check_name(event: &OperatorEvent) -> Result<(), Error> {
    if event.name.is_empty() || event.name.starts_with(':') {
        return Err(Error::InvalidEventName);
    }
    Ok(())
}

fn subscriber((info, record): (SubscriberInfo, Option<Box<str>>)) -> Subscriber {
    Subscriber {
        sid: info.sid,
        uid: info.uid,
        hidden: info.hidden,
        record: record.map(|members| format!("{{{members}}}")),
    }
}

/// None where the vhost is gone.
fn channel_stats((channel, path): (BusyChannel, Option<VhostPath>)) -> Option<ChannelStats> {
    Some(ChannelStats {
        vhost: path?.as_str().to_owned(),
        channel: channel.name.as_str().to_owned(),
        subscribers: u64::from(channel.subscribers),
        broadcasts: channel.broadcasts,
    })
}
