use std::collections::HashSet;

use redb::{Database, ReadableDatabase, ReadableTable, TableError};

use super::file::Unreadable;
use super::layout::{self, CHANNELS, FORMAT, FORMAT_KEY, META, STATE_KEY, State, TOKENS, VHOSTS};
use super::{Damage, Record, Snapshot};

/// A store without anything in it.
pub(super) fn write_new(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(FORMAT_KEY, &layout::encode_format(FORMAT)[..])?;
        meta.insert(STATE_KEY, &State::default().encode()[..])?;
        for table in [VHOSTS, CHANNELS, TOKENS] {
            transaction.open_table(table)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// One transaction, durable when this returns.
pub(super) fn write(
    database: &Database,
    records: &[Record],
    after: State,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(STATE_KEY, &after.encode()[..])?;
        let mut tables = Tables {
            vhosts: transaction.open_table(VHOSTS)?,
            channels: transaction.open_table(CHANNELS)?,
            tokens: transaction.open_table(TOKENS)?,
        };
        for record in records {
            tables.apply(record)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

type Table<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;

struct Tables<'a> {
    vhosts: Table<'a>,
    channels: Table<'a>,
    tokens: Table<'a>,
}

impl Tables<'_> {
    /// Does what [`Snapshot::apply`] does.
    fn apply(&mut self, record: &Record) -> Result<(), redb::Error> {
        match record {
            Record::VhostAdded { vhost, path, token } => {
                let value = layout::encode_vhost(path.as_str(), token);
                self.vhosts
                    .insert(&layout::vhost_key(*vhost)[..], &value[..])?;
            }
            Record::VhostDeleted { vhost } => {
                self.vhosts.remove(&layout::vhost_key(*vhost)[..])?;
                let keys = layout::keys_of(*vhost);
                let keys = &keys.start[..]..&keys.end[..];
                self.channels
                    .retain_in::<&[u8], _>(keys.clone(), |_, _| false)?;
                self.tokens.retain_in::<&[u8], _>(keys, |_, _| false)?;
            }
            Record::TokenReplaced { vhost, token } => {
                let key = layout::vhost_key(*vhost);
                let stored = self.vhosts.get(&key[..])?;
                let value = stored.and_then(|stored| {
                    Some(layout::encode_vhost(
                        layout::path_of(stored.value())?,
                        token,
                    ))
                });
                if let Some(value) = value {
                    self.vhosts.insert(&key[..], &value[..])?;
                }
            }
            Record::ChannelOpened {
                vhost,
                channel,
                name,
            } => {
                if self.vhosts.get(&layout::vhost_key(*vhost)[..])?.is_some() {
                    let key = layout::channel_key(*vhost, name);
                    self.channels
                        .insert(&key[..], &layout::encode_channel(*channel)[..])?;
                }
            }
            Record::ChannelClosed { vhost, name } => {
                self.channels
                    .remove(&layout::channel_key(*vhost, name)[..])?;
            }
            Record::TokenIssued { token, stored } => {
                let vhost = stored.vhost;
                if self.vhosts.get(&layout::vhost_key(vhost)[..])?.is_some() {
                    let key = layout::token_key(vhost, token);
                    self.tokens
                        .insert(&key[..], &layout::encode_token(stored)[..])?;
                }
            }
            Record::TokenForgotten { vhost, token } => {
                self.tokens.remove(&layout::token_key(*vhost, token)[..])?;
            }
        }
        Ok(())
    }
}

/// Refuses another format before anything else is looked at.
pub(super) fn read_state(database: &Database) -> Result<State, Unreadable> {
    let meta = match database.begin_read()?.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Err(Damage::Foreign.into()),
        Err(error) => return Err(error.into()),
    };
    let no_format = layout::damage("meta", "no format");
    let format = meta.get(FORMAT_KEY)?.ok_or(no_format)?;
    let format = layout::decode_format(format.value())?;
    if format != FORMAT {
        return Err(Unreadable::UnknownFormat(format));
    }
    let no_state = layout::damage("meta", "no state");
    let state = meta.get(STATE_KEY)?.ok_or(no_state)?;
    Ok(State::decode(state.value())?)
}

/// All of it, each entry checked.
pub(super) fn read(database: &Database) -> Result<(State, Snapshot), Unreadable> {
    let state = read_state(database)?;
    let transaction = database.begin_read()?;
    let mut snapshot = Snapshot {
        next_vhost: state.next_vhost,
        next_channel: state.next_channel,
        ..Snapshot::default()
    };
    let mut paths = HashSet::new();
    for entry in transaction.open_table(VHOSTS)?.iter()? {
        let (key, value) = entry?;
        let (id, vhost) = layout::decode_vhost(key.value(), value.value())?;
        if id.0 >= state.next_vhost {
            return Err(layout::damage("vhosts", "an id that was never handed out").into());
        }
        if !paths.insert(vhost.path.clone()) {
            return Err(layout::damage("vhosts", "two vhosts at one path").into());
        }
        snapshot.vhosts.insert(id, vhost);
    }
    for entry in transaction.open_table(CHANNELS)?.iter()? {
        let (key, value) = entry?;
        let (vhost, name, channel) = layout::decode_channel(key.value(), value.value())?;
        if channel.0 >= state.next_channel {
            return Err(layout::damage("channels", "an id that was never handed out").into());
        }
        let vhost = snapshot
            .vhosts
            .get_mut(&vhost)
            .ok_or(layout::damage("channels", "a channel of no vhost"))?;
        vhost.channels.insert(name, channel);
    }
    for entry in transaction.open_table(TOKENS)?.iter()? {
        let (key, value) = entry?;
        let (token, stored) = layout::decode_token(key.value(), value.value())?;
        if !snapshot.vhosts.contains_key(&stored.vhost) {
            return Err(layout::damage("tokens", "a token of no vhost").into());
        }
        snapshot.tokens.insert(token, stored);
    }
    Ok((state, snapshot))
}
