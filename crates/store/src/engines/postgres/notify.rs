//! Telling other processes of changes. Not in the transaction that makes them, as that would let only one commit at a time;
//! and many at once, as one message for each would be most of the work. What is lost this way is found by asking.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::Core;
use super::failure::Result;
use super::waiting::channel;

/// What comes within this time goes out together: first so long, and longer the longer there is something to tell, as each
/// message is also work that those who write wait for.
const PAUSE: Duration = Duration::from_millis(3);
const LONGEST_PAUSE: Duration = Duration::from_millis(24);

const NOTIFY: &str = "SELECT pg_notify($1, u.mark) FROM unnest($2::text[]) u(mark)";

/// Sends what is put into the queue, until the engine rests.
pub(super) async fn send(core: Weak<Core>, mut marks: UnboundedReceiver<String>) {
    let mut pause = PAUSE;
    loop {
        let goes_on = !marks.is_empty();
        let Some(mark) = marks.recv().await else { return };
        pause = if goes_on { (2 * pause).min(LONGEST_PAUSE) } else { PAUSE };
        let mut together = BTreeSet::from([mark]);
        while let Ok(mark) = marks.try_recv() {
            together.insert(mark);
        }
        let Some(core) = core.upgrade() else { return };
        let together: Vec<String> = together.into_iter().collect();
        // Where it cannot be told, others find it by asking.
        let _ = notify(&core, &together).await;
        drop(core);
        tokio::time::sleep(pause).await;
    }
}

async fn notify(core: &Core, marks: &[String]) -> Result<()> {
    core.connections.link().await?.query(NOTIFY, &[&channel(&core.shared), &marks]).await.map(drop)
}
