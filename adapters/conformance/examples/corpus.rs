//! Writes the fuzz targets' corpora from a story that is played in the world: the first valid call of each
//! endpoint, published documents, and a queue. `cargo run -p phoenix-conformance --example corpus`.

use std::{error::Error, fs, path::Path};

use futures::executor::block_on;
use phoenix_conformance::{fuzz, world};
use phoenix_core::{
    api::{ServiceName, federation, queue},
    crypto::sha256,
    port::{Inline, LocalWake},
    store::MemoryStore,
    wire::Wire,
};
use phoenix_homeserver::Homeserver;

fn main() -> Result<(), Box<dyn Error>> {
    for recorded in world::recorded() {
        let call = &recorded.outgoing.call;
        for bytes in [call.encode(), call.body.bytes()] {
            for input in fuzz::decodable(&bytes) {
                write("decode", &input)?;
            }
        }
    }
    let entries: [&[u8]; 3] = [b"", b"hello", &[7; 600]];
    let queue = fuzz::queue_of(&entries).ok_or("a queue that cannot be made")?;
    write("ratchet", &queue)?;
    for input in fuzz::decodable(&queue) {
        write("decode", &input)?;
    }
    let results = [federation::RecipientResult::Delivered, federation::RecipientResult::Later(60)];
    for input in fuzz::decodable(
        &queue::DeliverReply { results: phoenix_core::wire::List::new(results.to_vec())? }.encode(),
    ) {
        write("decode", &input)?;
    }
    for input in fuzz::dpop_inputs().ok_or("a token that cannot be made")? {
        write("dpop", &input)?;
    }
    documents()
}

/// What a new homeserver publishes.
fn documents() -> Result<(), Box<dyn Error>> {
    let network = phoenix_conformance::network::Network::default();
    let builder = Homeserver::builder("alpha.test".parse()?).store(MemoryStore::new()).compute(Inline);
    let home = block_on(builder.wake(LocalWake::default()).transport(network.transport()).build())?;
    for service in ServiceName::ALL {
        write("document", &block_on(home.document(service))?)?;
    }
    Ok(())
}

/// Writes an input under its own hash, so that the same input is one file.
fn write(target: &str, input: &[u8]) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    fs::create_dir_all(&folder)?;
    let name: String = sha256(input).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    fs::write(folder.join(name), input)?;
    Ok(())
}
