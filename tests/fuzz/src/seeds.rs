//! Writes the seed corpus: generated requests in odd encodings, the documents of the golden cases'
//! generator, and the same requests as captures. Run by `scripts/fuzz --seeds`.

use phoenix_model::traffic::pipelines::Menu;
use phoenix_model::traffic::{Action, Features, Wanted, case, encode};
use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for name in ["otlp", "documents", "captures"] {
        fs::create_dir_all(corpus.join(name))?;
    }
    let wanted = Wanted {
        menu: Menu::ALL,
        swaps: false,
        arms: false,
        scopes: false,
        foreign_bounds: true,
        shapes: true,
        rounds: 6,
    };
    for seed in 0..24u64 {
        let case = case(seed, wanted, &mut Features::default());
        for (at, pipeline) in case.pipelines.iter().enumerate() {
            fs::write(
                corpus.join(format!("documents/{seed}-{at}")),
                pipeline.yaml(),
            )?;
        }
        let feeds = case.actions.iter().filter_map(|action| match action {
            Action::Feed { points, shape, .. } if !points.is_empty() => {
                let few = &points[..points.len().min(4)];
                Some(encode(few, *shape))
            }
            _ => None,
        });
        for (at, bytes) in feeds.take(2).enumerate() {
            let mut request = vec![seed as u8];
            request.extend_from_slice(&bytes);
            fs::write(corpus.join(format!("otlp/{seed}-{at}")), request)?;
            if seed % 4 == 0 {
                let mut capture = (bytes.len() as u32).to_be_bytes().to_vec();
                capture.extend_from_slice(&bytes);
                fs::write(corpus.join(format!("captures/{seed}-{at}")), capture)?;
            }
        }
    }
    Ok(())
}
