//! The key by which senders of forwarded mail are rewritten: made on first use, kept in the store.

use crate::mail::srs::{KEY_BYTES, Srs};
use crate::serve::Context;
use crate::store::{Op, Trouble};

/// Its name among the settings.
const SETTING: &str = "srs.key";

/// The node's key. Whoever is first makes it; when two are, both get the one that the store has kept.
pub async fn read_srs(context: &Context) -> Result<Srs, Trouble> {
    let read = || context.store.read(|snapshot| snapshot.setting(SETTING));
    if let Some(key) = read().await? {
        return Ok(Srs::new(&key));
    }
    let key = context.net.random::<KEY_BYTES>().map_err(|error| Trouble::Failed(error.to_string()))?;
    context.store.apply(Op::MakeSetting { key: SETTING.into(), value: key.to_vec() }).await?;
    log::info!("event=srs-key-made");
    read().await?.map(|key| Srs::new(&key)).ok_or(Trouble::NotFound)
}
