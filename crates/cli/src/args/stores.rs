//! What the commands on whole stores take.

use std::path::PathBuf;
use std::str::FromStr;

use agent_data_store::sqlite_url;
use clap::{Args, ValueHint};

#[derive(Args, Debug)]
pub(crate) struct CopyArgs {
    /// The store to copy: a URL, or the path of a store file
    #[arg(value_name = "FROM", value_hint = ValueHint::AnyPath)]
    pub(crate) from: WholeStore,

    /// The store that is to hold the copy
    #[arg(value_name = "TO", value_hint = ValueHint::AnyPath)]
    pub(crate) to: WholeStore,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The store: a URL, or the path of a store file
    #[arg(id = "whole_store", value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub(crate) store: WholeStore,

    /// Put right what can be derived: counts, and what belongs to nothing
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The store: a URL, or the path of a store file
    #[arg(id = "whole_store", value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub(crate) store: WholeStore,

    /// The file that is to hold everything
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) how: HowArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// The store that is to be made of it: a URL, or the path of a store file
    #[arg(id = "whole_store", value_name = "STORE", value_hint = ValueHint::AnyPath)]
    pub(crate) store: WholeStore,

    #[command(flatten)]
    pub(crate) how: HowArgs,
}

#[derive(Args, Debug)]
pub(crate) struct HowArgs {
    /// Replace the file that is there
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Do not check what was written: it may have problems
    #[arg(long)]
    pub(crate) unchecked: bool,
}

/// The URL of a store.
#[derive(Clone, Debug)]
pub(crate) struct WholeStore(pub(crate) String);

impl FromStr for WholeStore {
    type Err = String;

    /// What begins with a scheme is a URL, all else a path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        if !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Ok(Self(text.to_owned()));
        }
        let path = std::path::absolute(text).map_err(|error| format!("this is no path: {error}"))?;
        Ok(Self(sqlite_url(&path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_its_url_or_by_its_path() {
        for url in ["sqlite:///x.db", "memory:", "postgresql://u@h/d?schema=s", "http://h:1"] {
            assert_eq!(url.parse::<WholeStore>().expect(url).0, url);
        }
        let here = std::env::current_dir().expect("a folder");
        for path in ["store.db", "./a:b.db", "sub folder/store 1.db"] {
            let url = path.parse::<WholeStore>().expect(path).0;
            let absolute = std::path::absolute(here.join(path)).expect("a path");
            assert_eq!(agent_data_store::sqlite_path(&url), Some(absolute), "{url}");
        }
        assert_eq!("/x/50%.db".parse::<WholeStore>().expect("a path").0, "sqlite:///x/50%25.db");
        assert!("".parse::<WholeStore>().is_err());
    }
}
