//! The names of the tables in the text of statements.

use super::address::Address;

/// The schema and the prefix of one store's tables.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) schema: String,
    pub(super) prefix: String,
    /// What goes before the name of a table.
    qualifier: String,
}

impl Tables {
    pub(super) fn of(address: &Address) -> Self {
        let (schema, prefix) = (address.schema.clone(), address.prefix.clone());
        let qualifier = format!("\"{schema}\".{prefix}");
        Self { schema, prefix, qualifier }
    }

    /// A statement with `{t}` before the name of each table, and `{p}` before that of each index.
    pub(super) fn sql(&self, template: &str) -> String {
        template.replace("{t}", &self.qualifier).replace("{p}", &self.prefix)
    }

    /// What stands for this store where numbers are all that can be said, the same in every process.
    pub(super) fn number(&self) -> i32 {
        number_of(&[&self.schema, &self.prefix])
    }
}

/// A number for some names, the same in every process of every version: they meet by it at the database.
pub(super) fn number_of(names: &[&str]) -> i32 {
    // FNV-1a. Every name goes with its length, so that they cannot run into each other.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for name in names {
        for byte in (name.len() as u64).to_le_bytes().iter().chain(name.as_bytes()) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    ((hash ^ (hash >> 32)) as u32).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::number_of;

    /// Another value here means that processes of different versions do not see each other's locks.
    #[test]
    fn the_number_of_names_is_the_same_in_every_version() {
        assert_eq!(number_of(&["a", "b"]), 1_824_710_963);
        assert_ne!(number_of(&["a", "bc"]), number_of(&["ab", "c"]));
    }
}
