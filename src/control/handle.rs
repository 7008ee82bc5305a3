use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::Error;
use super::observe::Overview;
use super::registry::{Edit, Homed, Numbers, Reply};
use crate::hub::envelope::Grant;
use crate::hub::question::{Finding, Question};
use crate::limits::INQUIRIES_MAX;
use crate::meter::StoreMeter;
use crate::model::{
    AccessToken, ChannelName, Quotas, ShardId, SingleAccessToken, VhostId, VhostPath, WorkerId,
};

/// How the rest of the process talks to control. Cheap to clone.
///
/// Every change is acknowledged once the store has it and every shard has
/// applied it. Every call fails with [`Error::Stopped`] when control has ended.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    pub(super) shards: u16,
    store: Arc<StoreMeter>,
    /// A seat for each request that asks shards something.
    pub(super) inquiries: Arc<Semaphore>,
}

/// A vhost as admin sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostInfo {
    /// Its path.
    pub path: VhostPath,
    /// Its access token.
    pub token: AccessToken,
    /// How many channels it has.
    pub channels: usize,
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, Error>>;
pub(super) type Answered<T> = oneshot::Receiver<Result<T, Error>>;

/// What a handle asks of control.
pub(super) enum Command {
    Edit(Edit, Reply),
    Vhosts(Answer<Vec<VhostInfo>>),
    Vhost(VhostPath, Answer<VhostInfo>),
    Channels(VhostPath, Answer<Vec<ChannelName>>),
    Workers(VhostPath, Answer<Vec<WorkerId>>),
    IssueToken(VhostPath, Box<Grant>, Answer<SingleAccessToken>),
    VhostId(VhostPath, Answer<VhostId>),
    PathsOf(Vec<VhostId>, Answer<Vec<Option<VhostPath>>>),
    Home(VhostPath, ChannelName, Answer<Homed>),
    Homes(VhostPath, Answer<Vec<Homed>>),
    Numbers(VhostPath, Answer<Numbers>),
    Query(ShardId, Box<Question>, Answer<Finding>),
    Serve(Reply),
    Drain(u32, Reply),
    Overview(Answer<Overview>),
    Probe(ShardId, Answer<()>),
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        shards: u16,
        store: Arc<StoreMeter>,
    ) -> Self {
        Self {
            commands,
            shards,
            store,
            inquiries: Arc::new(Semaphore::new(INQUIRIES_MAX)),
        }
    }

    /// What control counts of its store.
    pub(super) fn store_meter(&self) -> Arc<StoreMeter> {
        Arc::clone(&self.store)
    }

    /// Creates a vhost with a new access token.
    ///
    /// # Errors
    /// [`Error::VhostExists`]; [`Error::VhostNotFound`] when it was deleted as
    /// soon as it was there; those of any change: [`Error::Full`],
    /// [`Error::NotStored`], [`Error::NoRandom`].
    pub async fn create_vhost(&self, path: VhostPath) -> Result<VhostInfo, Error> {
        self.edit(Edit::CreateVhost(path.clone())).await?;
        self.vhost(path).await
    }

    /// Deletes a vhost with its channels, tokens, connections and workers.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], and those of any change.
    pub async fn delete_vhost(&self, path: VhostPath) -> Result<(), Error> {
        self.edit(Edit::DeleteVhost(path)).await
    }

    /// Deletes all vhosts.
    ///
    /// # Errors
    /// Those of any change; then some may be gone already.
    pub async fn clear_vhosts(&self) -> Result<(), Error> {
        self.edit(Edit::ClearVhosts).await
    }

    /// Gives a vhost another access token; connected backends stay.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], and those of any change.
    pub async fn replace_token(&self, path: VhostPath) -> Result<(), Error> {
        self.edit(Edit::ReplaceToken(path)).await
    }

    /// Opens a channel.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], [`Error::ChannelExists`], and those of any change.
    pub async fn open_channel(&self, path: VhostPath, name: ChannelName) -> Result<(), Error> {
        self.edit(Edit::OpenChannel(path, name)).await
    }

    /// Closes a channel under its subscribers.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], [`Error::ChannelNotFound`], and those of any change.
    pub async fn close_channel(&self, path: VhostPath, name: ChannelName) -> Result<(), Error> {
        self.edit(Edit::CloseChannel(path, name)).await
    }

    /// Closes all channels of a vhost.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], and those of any change; then some may be closed already.
    pub async fn clear_channels(&self, path: VhostPath) -> Result<(), Error> {
        self.edit(Edit::ClearChannels(path)).await
    }

    /// Waits until every change decided before is applied by every shard; after
    /// the start this is when what the store held can be used.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn settle(&self) -> Result<(), Error> {
        self.edit(Edit::Settle).await
    }

    /// All vhosts, by path.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn vhosts(&self) -> Result<Vec<VhostInfo>, Error> {
        self.ask(Command::Vhosts).await
    }

    /// One vhost.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`].
    pub async fn vhost(&self, path: VhostPath) -> Result<VhostInfo, Error> {
        self.ask(|answer| Command::Vhost(path, answer)).await
    }

    /// The open channels of a vhost, by name.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`].
    pub async fn channels(&self, path: VhostPath) -> Result<Vec<ChannelName>, Error> {
        self.ask(|answer| Command::Channels(path, answer)).await
    }

    /// The workers of a vhost, by id.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`].
    pub async fn workers(&self, path: VhostPath) -> Result<Vec<WorkerId>, Error> {
        self.ask(|answer| Command::Workers(path, answer)).await
    }

    /// A single access token for the bearer of this grant, whose pattern compiles.
    ///
    /// # Errors
    /// [`Error::VhostNotFound`], and those of any change.
    pub(super) async fn issue_token(
        &self,
        path: VhostPath,
        grant: Grant,
    ) -> Result<SingleAccessToken, Error> {
        self.ask(|answer| Command::IssueToken(path, Box::new(grant), answer))
            .await
    }

    /// Waits like [`Self::settle`], then tells every shard to take connections.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn serve(&self) -> Result<(), Error> {
        self.settle().await?;
        self.ask(Command::Serve).await
    }

    /// Replaces what the node and its vhosts grant. Who has more already keeps it.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn set_quotas(&self, quotas: Arc<Quotas>) -> Result<(), Error> {
        self.edit(Edit::ReplaceQuotas(quotas)).await
    }

    /// Tells every shard to close its connections in order, and waits until all
    /// have. Frontends are spread over `window`, less where they are few, so
    /// that they don't come back all at once. The caller sets the deadline.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn drain(&self, window: Duration) -> Result<(), Error> {
        let window_ms = u32::try_from(window.as_millis()).unwrap_or(u32::MAX);
        self.ask(|reply| Command::Drain(window_ms, reply)).await
    }

    /// What metrics tell of the registry.
    pub(super) async fn overview(&self) -> Result<Overview, Error> {
        self.ask(Command::Overview).await
    }

    /// Waits until the shard answers. The caller sets the deadline.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn probe(&self, shard: ShardId) -> Result<(), Error> {
        self.ask(|answer| Command::Probe(shard, answer)).await
    }

    async fn edit(&self, edit: Edit) -> Result<(), Error> {
        self.ask(|reply| Command::Edit(edit, reply)).await
    }

    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, Error> {
        let answered = self.put(command).await?;
        answered.await.map_err(|_| Error::Stopped)?
    }

    /// Asks, and leaves the waiting to the caller.
    pub(super) async fn put<T>(
        &self,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<Answered<T>, Error> {
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(command(answer)).await;
        sent.map_err(|_| Error::Stopped)?;
        Ok(answered)
    }
}
