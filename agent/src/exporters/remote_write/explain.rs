//! Points that have no form in Prometheus, in words that help.

use phoenix_engine::prometheus::Unfit;

/// How many points have no form, by reason and with what to do; empty where there are none.
pub fn explain(unfit: [u64; Unfit::ALL.len()]) -> String {
    let mut text = Vec::new();
    for (unfit, points) in Unfit::ALL.iter().zip(unfit) {
        if points > 0 {
            text.push(format!("{points} {}: {}", unfit.name(), remedy(*unfit)));
        }
    }
    text.join("; ")
}

fn remedy(unfit: Unfit) -> &'static str {
    match unfit {
        Unfit::NotCumulative => {
            "remote write has no deltas; have the SDK send cumulative temporality, or put a `temporality` stage into the pipeline"
        }
        Unfit::NoName => "the metric's name has no letter or digit; rename it with `transform`",
        Unfit::TooCoarse => {
            "an exponential histogram of a scale below -4, Prometheus' coarsest; raise the SDK's max_size"
        }
        Unfit::NoValue => "a point without a value",
    }
}
