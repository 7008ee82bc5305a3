/// Why a file that should be a store can't be read as one. The operator
/// recovers: with a copy, or by starting empty.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Nothing in it, or not even a header; a store is never that short.
    #[error("its end is missing")]
    Cut,
    /// It was never a store of ours.
    #[error("it is no store of a node")]
    Foreign,
    /// A page does not match its checksum, or tables are missing.
    #[error("{0}")]
    Pages(#[source] Box<redb::Error>),
    /// The file is whole, but it says what no node has written.
    #[error("table {table:?} holds {what}")]
    Entry {
        /// The table.
        table: &'static str,
        /// What is wrong with the entry.
        what: &'static str,
    },
}

impl Damage {
    /// What an error at reading says of the file; `Err` gives back one that
    /// says nothing of it, as a failing disk.
    pub(super) fn of(error: redb::Error) -> Result<Self, redb::Error> {
        use std::io::ErrorKind;
        match error {
            redb::Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Self::Cut),
            redb::Error::Io(error) if error.kind() == ErrorKind::InvalidData => Ok(Self::Foreign),
            error @ (redb::Error::Io(_) | redb::Error::PreviousIo) => Err(error),
            error => Ok(Self::Pages(Box::new(error))),
        }
    }
}
