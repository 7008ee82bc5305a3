use std::sync::Arc;

use super::pipeline::{Audience, Completion, Reply, Undo};
use super::vhost::{Channel, Vhost};
use super::{Error, Registry};
use crate::control::store::Record;
use crate::hub::envelope::Change;
use crate::limits::CHANNELS_PER_VHOST_MAX;
use crate::model::{AccessToken, ChannelId, ChannelName, Quotas, VhostId, VhostPath};

/// What admin asks to change.
#[derive(Debug)]
pub(in crate::control) enum Edit {
    CreateVhost(VhostPath),
    DeleteVhost(VhostPath),
    ClearVhosts,
    ReplaceToken(VhostPath),
    OpenChannel(VhostPath, ChannelName),
    CloseChannel(VhostPath, ChannelName),
    ClearChannels(VhostPath),
    ReplaceQuotas(Arc<Quotas>),
    /// Changes nothing: waits for what was decided before.
    Settle,
}

impl Registry {
    /// Admin asks for a change; `reply` gets `Ok` once every shard has applied it.
    pub(in crate::control) fn handle_edit(&mut self, edit: Edit, reply: Reply) {
        match self.edit(edit) {
            Ok(Some(version)) => self.pipeline.wait_for(version, Completion::Reply(reply)),
            Ok(None) => self.pipeline.wait_for_all(Completion::Reply(reply)),
            // Whoever asked may have gone.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Gives the version to wait for, `None` where there was nothing to change:
    /// then it is what an earlier request does that must be applied.
    fn edit(&mut self, edit: Edit) -> Result<Option<u64>, Error> {
        if matches!(edit, Edit::Settle) {
            return Ok(None);
        }
        // Never refused: it may be what takes a load off the node.
        if let Edit::ReplaceQuotas(quotas) = edit {
            return Ok(Some(self.replace_quotas(quotas)));
        }
        // Once for the whole edit: clearing is not stopped half-way.
        self.may_change()?;
        match edit {
            Edit::CreateVhost(path) => self.create_vhost(path).map(Some),
            Edit::DeleteVhost(path) => {
                let vhost = self.at(&path)?;
                Ok(Some(self.delete_vhost(&path, vhost)))
            }
            Edit::ClearVhosts => {
                let all = self.paths.clone().into_iter();
                Ok(all.map(|(path, id)| self.delete_vhost(&path, id)).last())
            }
            Edit::ReplaceToken(path) => self.replace_token(&path).map(Some),
            Edit::OpenChannel(path, name) => {
                let vhost = self.at(&path)?;
                if self.channel_of(vhost, &name).is_some() {
                    return Err(Error::ChannelExists);
                }
                let version = self.open_channel(vhost, name.clone())?;
                tracing::info!(%path, channel = %name, "admin opens a channel");
                Ok(Some(version))
            }
            Edit::CloseChannel(path, name) => {
                let vhost = self.at(&path)?;
                let version = self.close_channel(vhost, name.clone())?;
                tracing::info!(%path, channel = %name, "admin closes a channel");
                Ok(Some(version))
            }
            Edit::ClearChannels(path) => {
                let vhost = self.at(&path)?;
                let mut last = None;
                for name in self.channels(&path)? {
                    last = Some(self.close_channel(vhost, name)?);
                }
                tracing::info!(%path, "admin closes all channels");
                Ok(last)
            }
            Edit::ReplaceQuotas(_) | Edit::Settle => Ok(None),
        }
    }

    /// What is over a lowered quota stays. The store keeps none: quotas come
    /// with the configuration.
    fn replace_quotas(&mut self, quotas: Arc<Quotas>) -> u64 {
        self.quotas = quotas.clone();
        let change = Change::QuotasReplaced { quotas };
        self.pipeline
            .push(change, Audience::All, None, Undo::Nothing)
    }

    fn create_vhost(&mut self, path: VhostPath) -> Result<u64, Error> {
        // [AD-31]: of concurrent creations the first to come here wins.
        if self.paths.contains_key(&path) {
            return Err(Error::VhostExists);
        }
        // The last id is never handed out, so the next one never wraps.
        if self.paths.len() >= self.vhosts_max || self.next_vhost == u32::MAX {
            return Err(Error::Full);
        }
        let token = AccessToken::from_random(self.random_bytes()?);
        let vhost = VhostId(self.next_vhost);
        self.next_vhost += 1;
        self.paths.insert(path.clone(), vhost);
        let meters = self.meters.assign();
        self.vhosts
            .insert(vhost, Vhost::new(path.clone(), token, meters.clone()));
        tracing::info!(%path, "admin creates a vhost");
        let record = Record::VhostAdded {
            vhost,
            path: path.clone(),
            token,
        };
        let change = Change::VhostAdded {
            vhost,
            path,
            token,
            meters,
        };
        Ok(self.push_durable(change, record, Undo::Nothing))
    }

    /// Its channels, tokens and workers go with it, without a change of their own.
    fn delete_vhost(&mut self, path: &VhostPath, vhost: VhostId) -> u64 {
        tracing::info!(%path, "admin deletes a vhost");
        self.paths.remove(path);
        if let Some(known) = self.vhosts.get_mut(&vhost) {
            known.deleting = true;
        }
        let change = Change::VhostDeleted { vhost };
        self.push_durable(change, Record::VhostDeleted { vhost }, Undo::Nothing)
    }

    fn replace_token(&mut self, path: &VhostPath) -> Result<u64, Error> {
        let vhost = self.at(path)?;
        let token = AccessToken::from_random(self.random_bytes()?);
        let known = self.vhosts.get_mut(&vhost).ok_or(Error::VhostNotFound)?;
        let undo = Undo::AccessToken(std::mem::replace(&mut known.token, token));
        tracing::info!(%path, "admin replaces an access token");
        let change = Change::TokenReplaced { vhost, token };
        let record = Record::TokenReplaced { vhost, token };
        Ok(self.push_durable(change, record, undo))
    }

    /// Opens a channel of a name that none has.
    pub(super) fn open_channel(&mut self, vhost: VhostId, name: ChannelName) -> Result<u64, Error> {
        let id = ChannelId(self.next_channel);
        let opened = self.pipeline.next_version();
        let known = self.vhosts.get_mut(&vhost).ok_or(Error::VhostNotFound)?;
        let channels_max = self.quotas.of(&known.path).channels_max as usize;
        if known.channels.len() >= channels_max.min(CHANNELS_PER_VHOST_MAX) {
            return Err(Error::Full);
        }
        known.channels.insert(name.clone(), Channel { id, opened });
        self.next_channel += 1;
        let record = Record::ChannelOpened {
            vhost,
            channel: id,
            name: name.clone(),
        };
        let change = Change::ChannelOpened {
            vhost,
            channel: id,
            name,
        };
        Ok(self.push_durable(change, record, Undo::Nothing))
    }

    pub(super) fn close_channel(
        &mut self,
        vhost: VhostId,
        name: ChannelName,
    ) -> Result<u64, Error> {
        let known = self.vhosts.get_mut(&vhost).ok_or(Error::VhostNotFound)?;
        let channel = known.channels.remove(&name);
        let Channel { id, opened } = channel.ok_or(Error::ChannelNotFound)?;
        let record = Record::ChannelClosed {
            vhost,
            name: name.clone(),
        };
        let change = Change::ChannelClosed {
            vhost,
            channel: id,
            name,
        };
        Ok(self.push_durable(change, record, Undo::Opened(opened)))
    }

    fn push_durable(&mut self, change: Change, record: Record, undo: Undo) -> u64 {
        self.pipeline
            .push(change, Audience::All, Some(record), undo)
    }

    pub(super) fn may_change(&self) -> Result<(), Error> {
        if self.pipeline.is_full() {
            return Err(Error::Full);
        }
        Ok(())
    }

    pub(super) fn random_bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        (self.random)(&mut bytes).map_err(|_| Error::NoRandom)?;
        Ok(bytes)
    }
}
