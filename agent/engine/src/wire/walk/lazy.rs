//! What is looked into only where the memo does not know the series: texts, attributes, limits.

use super::super::check::{self, Found};
use super::super::cursor::WireError;
use super::super::index::{MetricEntry, Reject, Span};
use super::super::otlp::metric;
use super::{Memo, Stop, Walk};

impl<M: Memo> Walk<'_, M> {
    pub(super) fn check_metric(&mut self, number: u32) -> Result<(), Stop> {
        let Some(entry) = self.index.metrics.get_mut(number as usize) else {
            return Ok(());
        };
        if entry.checked {
            return Ok(());
        }
        entry.checked = true;
        let entry = *entry;
        let mut found = Found::default();
        check::metric(self.data, entry.head(), &self.bounds, &mut found)?;
        check::metric(self.data, entry.tail(), &self.bounds, &mut found)?;
        if found.rare {
            self.rare_metric(&entry);
        }
        self.check_scope(entry.scope)
    }

    pub(super) fn check_scope(&mut self, number: u32) -> Result<(), Stop> {
        let Some(entry) = self.index.scopes.get_mut(number as usize) else {
            return Ok(());
        };
        if entry.checked {
            return Ok(());
        }
        entry.checked = true;
        let mut found = Found::default();
        check::scope(self.data, entry.scope, &self.bounds, &mut found)?;
        entry.reject = found.reject;
        let entry = *entry;
        text(self.data, entry.schema_url)?;
        if found.rare {
            self.rare(entry.resource);
        }
        self.check_resource(entry.resource)
    }

    pub(super) fn check_resource(&mut self, number: u32) -> Result<(), Stop> {
        let Some(entry) = self.index.resources.get_mut(number as usize) else {
            return Ok(());
        };
        if entry.checked {
            return Ok(());
        }
        entry.checked = true;
        let mut found = Found::default();
        check::resource(self.data, entry.resource, &self.bounds, &mut found)?;
        entry.reject = found.reject;
        text(self.data, entry.schema_url)?;
        if found.rare {
            self.rare(number);
        }
        Ok(())
    }

    /// What rejects all points of a resource or scope rejects this one.
    pub(super) fn inherited(&self, of: &MetricEntry, own: Reject) -> Reject {
        let scope = self.index.scopes.get(of.scope as usize);
        let resource = scope.and_then(|s| self.index.resources.get(s.resource as usize));
        [
            own,
            scope.map_or(Reject::No, |s| s.reject),
            resource.map_or(Reject::No, |r| r.reject),
        ]
        .into_iter()
        .find(|reject| *reject != Reject::No)
        .unwrap_or_default()
    }

    #[cold]
    pub(super) fn rare_metric(&mut self, of: &MetricEntry) {
        if let Some(scope) = self.index.scopes.get(of.scope as usize) {
            let resource = scope.resource;
            self.rare(resource);
        }
    }

    #[cold]
    pub(super) fn rare(&mut self, resource: u32) {
        if self.index.rare.last() != Some(&resource) {
            self.index.rare.push(resource);
        }
    }

    #[cold]
    pub(super) fn reject(&mut self, reject: Reject, of: &MetricEntry) {
        self.index.rejected += 1;
        if self.index.reason.is_some() {
            return;
        }
        let name = crate::wire::fields(of.head().of(self.data))
            .find(|f| f.number == metric::NAME)
            .map_or("", |f| f.value.str());
        let (attributes, bytes) = (self.bounds.attributes, self.bounds.value_bytes);
        self.index.reason = Some(match reject {
            Reject::No | Reject::NoData => format!("metric `{name}` has no data"),
            Reject::NoValue => format!("a point of `{name}` has no value"),
            Reject::Attributes => {
                format!("a point of `{name}` has more than {attributes} attributes")
            }
            Reject::ValueBytes => {
                format!("an attribute value of `{name}` is longer than {bytes} bytes")
            }
            Reject::Buckets => {
                format!("a histogram of `{name}` has more than {bytes} bytes of buckets")
            }
        });
    }
}

fn text(data: &[u8], at: Span) -> Result<(), WireError> {
    match std::str::from_utf8(at.of(data)) {
        Ok(_) => Ok(()),
        Err(e) => Err(WireError {
            offset: at.start as usize + e.valid_up_to(),
            what: "UTF-8",
        }),
    }
}
