//! Percentiles of logs, a line for each tag.

use std::fmt::{self, Display, Formatter};

use super::Distribution;
use super::text::{write_distribution, write_heads};

/// Labels and what was measured under them.
pub(crate) struct Table<'a>(pub(crate) &'a [(String, Distribution)]);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_heads(f, "")?;
        for (label, distribution) in self.0 {
            write_distribution(f, label, distribution)?;
        }
        Ok(())
    }
}
