//! What a disk may hold after a loss of power: each file as it was when it was last synced, and of what was written since
//! then any part.
//!
//! Whether a file is there at all is written with its folder, which SQLite syncs with the first sync of a log that it has
//! created. Until then the folder may show any of the files that it has had under that name.

use std::collections::BTreeMap;

use fastrand::Rng;

pub(crate) struct Unsynced {
    files: Vec<File>,
    /// Which files each name has stood for since the folder was last synced, `None` for none; the last one is the present.
    names: BTreeMap<String, Vec<Option<usize>>>,
    random: Rng,
    cuts: Vec<BTreeMap<String, Vec<u8>>>,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    later: Vec<Change>,
    /// Whether its next sync is one of the folder as well.
    syncs_folder: bool,
}

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// In what way a disk was at work on what was written.
struct Luck {
    /// Smaller than this nothing is written but in one piece, with one exception in each cut.
    sector_bytes: usize,
    /// Of a hundred pieces so many were written.
    share: u32,
    /// In the order in which they came, and none after the first that was not.
    in_order: bool,
    /// Whether a sector may have been written in part.
    tears: bool,
}

/// One access of so many is one before which the power may go.
const CUT_EVERY: u32 = 3;

impl Unsynced {
    /// A disk that holds these files.
    pub(crate) fn new(random: Rng, files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut disk = Self { files: Vec::new(), names: BTreeMap::new(), random, cuts: Vec::new() };
        for (name, synced) in files {
            disk.names.insert(name, vec![Some(disk.files.len())]);
            disk.files.push(File { synced, ..File::default() });
        }
        disk
    }

    /// A file is opened, or created.
    pub(crate) fn open(&mut self, name: &str, is_log: bool) {
        let entries = self.names.entry(name.to_owned()).or_insert_with(|| vec![None]);
        if entries.last() == Some(&None) {
            entries.push(Some(self.files.len()));
            self.files.push(File { syncs_folder: is_log, ..File::default() });
        }
    }

    fn present(&mut self, name: &str) -> Option<&mut File> {
        let file = *self.names.get(name)?.last()?;
        self.files.get_mut(file?)
    }

    pub(crate) fn write(&mut self, name: &str, offset: i64, bytes: &[u8]) {
        if let Some(file) = self.present(name) {
            let offset = usize::try_from(offset).expect("an offset");
            file.later.push(Change::Write { offset, bytes: bytes.to_owned() });
        }
    }

    pub(crate) fn truncate(&mut self, name: &str, size: i64) {
        if let Some(file) = self.present(name) {
            file.later.push(Change::Truncate(usize::try_from(size).expect("a size")));
        }
    }

    pub(crate) fn sync(&mut self, name: &str) {
        let Some(file) = self.present(name) else { return };
        for change in file.later.drain(..) {
            change.apply(&mut file.synced);
        }
        if std::mem::take(&mut file.syncs_folder) {
            self.sync_folder();
        }
    }

    pub(crate) fn delete(&mut self, name: &str, sync_folder: bool) {
        if let Some(entries) = self.names.get_mut(name) {
            entries.push(None);
        }
        if sync_folder {
            self.sync_folder();
        }
    }

    fn sync_folder(&mut self) {
        for entries in self.names.values_mut() {
            entries.drain(..entries.len() - 1);
        }
    }

    /// The power may go before the next access.
    pub(crate) fn may_cut(&mut self) {
        if self.random.u32(..CUT_EVERY) == 0 {
            let cut = self.cut();
            self.cuts.push(cut);
        }
    }

    pub(crate) fn take_cuts(&mut self) -> Vec<BTreeMap<String, Vec<u8>>> {
        std::mem::take(&mut self.cuts)
    }

    /// One of the states in which the disk may be when the power goes now.
    pub(crate) fn cut(&mut self) -> BTreeMap<String, Vec<u8>> {
        let random = &mut self.random;
        let luck = Luck {
            sector_bytes: if random.bool() { 512 } else { 4_096 },
            share: [0, 10, 50, 90, 100][random.usize(..5)],
            in_order: random.bool(),
            tears: random.bool(),
        };
        let mut left = BTreeMap::new();
        for (name, entries) in &self.names {
            if let Some(file) = entries[random.usize(..entries.len())] {
                left.insert(name.clone(), self.files[file].after_cut(&luck, random));
            }
        }
        left
    }
}

impl File {
    fn after_cut(&self, luck: &Luck, random: &mut Rng) -> Vec<u8> {
        let mut content = self.synced.clone();
        let mut tears = luck.tears;
        for piece in self.later.iter().flat_map(|change| change.pieces(luck.sector_bytes)) {
            if random.u32(..100) < luck.share {
                piece.apply(&mut content);
                continue;
            }
            if let (Change::Write { offset, bytes }, true) = (&piece, std::mem::take(&mut tears)) {
                let torn = bytes[..random.usize(..bytes.len())].to_owned();
                Change::Write { offset: *offset, bytes: torn }.apply(&mut content);
            }
            if luck.in_order {
                break;
            }
        }
        content
    }
}

impl Change {
    /// What a disk writes in one piece.
    fn pieces(&self, sector_bytes: usize) -> Vec<Change> {
        match self {
            Change::Truncate(size) => vec![Change::Truncate(*size)],
            Change::Write { offset, bytes } => {
                let mut pieces = Vec::new();
                let mut rest = &bytes[..];
                let mut offset = *offset;
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(rest.len().min(sector_bytes - offset % sector_bytes));
                    pieces.push(Change::Write { offset, bytes: piece.to_owned() });
                    offset += piece.len();
                    rest = after;
                }
                pieces
            }
        }
    }

    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Truncate(size) => content.resize(*size, 0),
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}
