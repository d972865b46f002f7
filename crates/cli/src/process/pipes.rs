//! The streams of a command between its end of the pipe and ours.

use std::io::{self, Read, Write};
use std::process::Child;
use std::sync::mpsc::Sender;
use std::thread::Builder;

use super::Event;

/// How many bytes of stderr are kept: enough for the end of a traceback.
const TAIL_BYTES: usize = 4_096;

/// A thread for each stream. They end by themselves when the streams do.
pub(super) fn start(child: &mut Child, input: String, limit: usize, events: &Sender<Event>) -> io::Result<()> {
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not want its input, or not all of it, is none the worse.
        Builder::new().name("ads-stdin".into()).spawn(move || drop(stdin.write_all(input.as_bytes())))?;
    }
    if let Some(stdout) = child.stdout.take() {
        let events = events.clone();
        Builder::new().name("ads-stdout".into()).spawn(move || events.send(Event::Out(head(stdout, limit))))?;
    }
    if let Some(stderr) = child.stderr.take() {
        let events = events.clone();
        Builder::new()
            .name("ads-stderr".into())
            .spawn(move || events.send(Event::Err(tail(stderr, io::stderr(), TAIL_BYTES))))?;
    }
    Ok(())
}

/// Reads to the end; returns the beginning, one byte more than `limit` if there is more.
fn head(mut from: impl Read, limit: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    // What cannot be read is as good as the end.
    let _ = from.by_ref().take(limit as u64 + 1).read_to_end(&mut kept);
    let _ = io::copy(&mut from, &mut io::sink());
    kept
}

/// Reads to the end and passes everything on; returns the last `limit` bytes.
fn tail(mut from: impl Read, mut to: impl Write, limit: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 8_192];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        // Nobody may be there to see it.
        let _ = to.write_all(read).and_then(|()| to.flush());
        kept.extend_from_slice(read);
        kept.drain(..kept.len().saturating_sub(limit));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_that_there_was_more() {
        for (text, limit, expected) in [("", 3, ""), ("abc", 3, "abc"), ("abcd", 3, "abcd"), ("abcdef", 3, "abcd")] {
            let mut from = text.as_bytes();
            assert_eq!(head(&mut from, limit), expected.as_bytes());
            assert!(from.is_empty(), "read to its end");
        }
    }

    #[test]
    fn the_tail_is_kept_and_everything_passed_on() {
        for text in ["", "short", &"0123456789".repeat(5_000)] {
            let mut passed = Vec::new();
            let kept = tail(text.as_bytes(), &mut passed, 15);
            assert_eq!(passed, text.as_bytes());
            assert_eq!(kept, &text.as_bytes()[text.len().saturating_sub(15)..]);
        }
    }
}
