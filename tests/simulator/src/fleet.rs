//! A fleet made from a seed: hosts with processes, services with HTTP and database metrics.
//!
//! Values move by steps that doubles hold exactly, so that totals can be compared to the last bit.

mod build;
mod host;
mod service;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Size and seed of a fleet.
#[derive(Debug, Clone)]
pub struct Options {
    /// Same seed and same round times, same points.
    pub seed: u64,
    /// Number of the first host and of the first service instance: fleets with others are other nodes.
    pub first: usize,
    /// Hosts.
    pub hosts: usize,
    /// Long-lived processes a host; short jobs come on top.
    pub processes: usize,
    /// Service instances.
    pub services: usize,
    /// Values of the label `customer.id` on a service's orders.
    pub customers: usize,
}

/// A fleet between two rounds.
#[derive(Debug)]
pub struct Fleet {
    rng: ChaCha8Rng,
    hosts: Vec<host::Host>,
    services: Vec<service::Service>,
}

impl Fleet {
    /// A fleet whose first processes started at `now` (Unix nanoseconds).
    pub fn new(options: &Options, now: u64) -> Fleet {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let hosts = (0..options.hosts)
            .map(|n| host::Host::new(options.first + n, options.processes, now, &mut rng))
            .collect();
        let services = (0..options.services)
            .map(|n| service::Service::new(options.first + n, options.customers, now))
            .collect();
        Fleet {
            rng,
            hosts,
            services,
        }
    }

    /// Lives until `now` and says what every host and service exports then, a request each.
    pub fn round(&mut self, now: u64) -> Vec<ExportMetricsServiceRequest> {
        let hosts = self.hosts.iter_mut().map(|h| h.round(now, &mut self.rng));
        let mut requests: Vec<_> = hosts.collect();
        requests.extend(
            self.services
                .iter_mut()
                .map(|s| s.round(now, &mut self.rng)),
        );
        requests
    }
}
