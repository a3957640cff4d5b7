//! Which filters run: for a location, what its settings give anything to do; for a response, what
//! its header filters have left of that.

use std::ptr;

use super::{chunked, not_modified, range};
use crate::http::module::{BodyFilter, HeaderFilter, HttpModule, OrderError, Ordered, in_order};
use crate::http::request::Request;
use crate::module::Slots;

/// All filters of a configuration, in the order they run in.
#[derive(Default)]
pub(crate) struct Filters {
    pub(crate) header: Vec<HeaderFilter>,
    pub(crate) body: Vec<BodyStage>,
    /// The modules that they are of, in the same order.
    owners: (Vec<Owner>, Vec<Owner>),
}

/// The filters of one location, as indices of [`Filters`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct FilterPlan {
    pub(crate) header: FilterSet,
    pub(crate) body: FilterSet,
    /// Those of `body` that want to be asked about each response.
    pub(crate) asked: FilterSet,
    /// Nobody but the copy filter is in `body`, besides those that are asked.
    pub(crate) plain: bool,
    /// Nobody is in `header` and `asked` but the filters of the protocol, which have nothing to do
    /// with a usual response: see [`is_usual`](super::is_usual).
    pub(crate) is_usual: bool,
}

/// A place in the list of body filters.
#[derive(Clone, Copy)]
pub(crate) enum BodyStage {
    Filter {
        run: BodyFilter,
        wanted: Option<fn(&Request) -> bool>,
    },
    /// The output chain: what the filters behind it cannot take is copied.
    Copy,
}

/// Some of a list of filters: bit `i` is the one with index `i`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct FilterSet(u64);

/// The module of a filter; none for what the server does for itself.
type Owner = Option<&'static HttpModule>;

/// Where the copy filter stands among the body filters.
static COPY: Ordered<(BodyStage, Owner)> = Ordered {
    name: "copy",
    before: &[],
    after: &["range"],
    run: (BodyStage::Copy, None),
};

impl Filters {
    /// Orders the filters of all modules.
    ///
    /// # Errors
    /// When two modules both want to run before the other, or there are more filters than a
    /// [`FilterSet`] has room for.
    pub(crate) fn new(modules: &[&'static HttpModule]) -> Result<Self, OrderError> {
        let mut header = Vec::new();
        let mut body = Vec::new();
        for module in modules {
            let owner: Owner = Some(module);
            header.extend(module.header_filters.iter().map(|f| f.with((f.run, owner))));
            body.extend(module.body_filters.iter().map(|filter| {
                let stage = BodyStage::Filter {
                    run: filter.run,
                    wanted: module.body_wanted,
                };
                filter.with((stage, owner))
            }));
        }
        let header: Vec<_> = header.iter().collect();
        let body: Vec<_> = body.iter().chain([&COPY]).collect();
        let (header, header_owners) = FilterSet::fitting("header filters", &header)?;
        let (body, body_owners) = FilterSet::fitting("body filters", &body)?;
        Ok(Self {
            header,
            body,
            owners: (header_owners, body_owners),
        })
    }

    /// Those that have anything to do where these settings apply.
    pub(crate) fn plan(&self, slots: &Slots) -> FilterPlan {
        let at_work = |owners: &[Owner]| {
            let mut set = FilterSet::default();
            for (at, owner) in owners.iter().enumerate() {
                if owner.and_then(|m| m.filters_at).is_none_or(|at| at(slots)) {
                    set.insert(at);
                }
            }
            set
        };
        let body = at_work(&self.owners.1);
        let mut asked = FilterSet::default();
        let mut left = body;
        while let Some(at) = left.pop_first() {
            if let Some(BodyStage::Filter {
                wanted: Some(_), ..
            }) = self.body.get(at)
            {
                asked.insert(at);
            }
        }
        let header = at_work(&self.owners.0);
        FilterPlan {
            header,
            body,
            asked,
            plain: self.is_plain(body.without(asked)),
            is_usual: is_protocol(&self.owners.0, header) && is_protocol(&self.owners.1, asked),
        }
    }

    /// Those of `plan` that want to see the body of the response of `r`, whose header filters have
    /// run, and whether they are nobody but the copy filter.
    #[inline]
    pub(crate) fn body_of(&self, r: &Request, plan: FilterPlan) -> (FilterSet, bool) {
        let mut body = plan.body.without(plan.asked);
        let (mut plain, mut asked) = (plan.plain, plan.asked);
        while let Some(at) = asked.pop_first() {
            if let Some(BodyStage::Filter {
                wanted: Some(wanted),
                ..
            }) = self.body.get(at)
                && wanted(r)
            {
                body.insert(at);
                plain = false;
            }
        }
        (body, plain)
    }

    /// Whether nobody but the copy filter is in `set`.
    fn is_plain(&self, mut set: FilterSet) -> bool {
        let is_copy = |at: usize| matches!(self.body.get(at), Some(BodyStage::Copy));
        set.pop_first().is_none_or(is_copy) && set.pop_first().is_none()
    }
}

/// Whether all of `set` are filters that [`is_usual`](super::is_usual) knows of.
fn is_protocol(owners: &[Owner], mut set: FilterSet) -> bool {
    let known = [&not_modified::MODULE, &range::MODULE, &chunked::MODULE];
    while let Some(at) = set.pop_first() {
        let owner = owners.get(at).copied().flatten();
        if !owner.is_some_and(|owner| known.iter().any(|module| ptr::eq(*module, owner))) {
            return false;
        }
    }
    true
}

impl FilterSet {
    const MAX: usize = u64::BITS as usize;

    /// The entries in order, and who they are of, if a set has room for all.
    fn fitting<F: Copy>(
        list: &'static str,
        entries: &[&Ordered<(F, Owner)>],
    ) -> Result<(Vec<F>, Vec<Owner>), OrderError> {
        if entries.len() > Self::MAX {
            let max = Self::MAX;
            return Err(OrderError::TooMany { list, max });
        }
        Ok(in_order(list, entries)?.into_iter().unzip())
    }

    fn insert(&mut self, at: usize) {
        self.0 |= 1 << at;
    }

    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Takes the one that runs first.
    #[inline]
    pub(crate) fn pop_first(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let at = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(at)
    }

    /// Without those in front of `at`.
    #[inline]
    pub(crate) fn from(self, at: usize) -> Self {
        let behind = u32::try_from(at)
            .ok()
            .and_then(|at| u64::MAX.checked_shl(at));
        Self(self.0 & behind.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(mut set: FilterSet) -> Vec<usize> {
        std::iter::from_fn(|| set.pop_first()).collect()
    }

    #[test]
    fn a_set_is_gone_through_in_order() {
        let mut set = FilterSet::default();
        for at in [63, 0, 5, 7] {
            set.insert(at);
        }
        assert_eq!(indices(set), [0, 5, 7, 63]);
        assert_eq!(indices(set.from(5)), [5, 7, 63]);
        assert_eq!(indices(set.from(6)), [7, 63]);
        assert_eq!(indices(set.from(64)), []);
        assert_eq!(indices(set.without(set.from(7))), [0, 5]);
    }

    #[test]
    fn a_location_without_settings_has_the_filters_of_the_protocol_alone() {
        let filters = Filters::new(crate::http::modules::ALL).unwrap();
        let plan = filters.plan(&Slots::default());
        assert_eq!(
            indices(plan.header).len(),
            3,
            "not_modified, range, chunked"
        );
        assert_eq!(indices(plan.body).len(), 2, "range, copy");
        assert_eq!(indices(plan.asked), [0], "range");
        assert!(plan.is_usual, "nobody else");
        assert!(plan.plain && !filters.is_plain(plan.body));
        assert!(filters.is_plain(plan.body.from(1)));
        assert!(filters.is_plain(FilterSet::default()));
    }
}
