//! Any events in any order at any time: the fold takes them all, and what reads it stands them too.

use chrono::TimeDelta;
use proptest::prelude::*;

use crate::account::AccountState;
use crate::config::{AlertsPolicy, Foreign};
use crate::event::Event;
use crate::incidents::conditions;
use crate::plan::evidence::{Evidence, ListedBy, SinkContent, TokenList};
use crate::plan::plan;
use crate::testing::events::{events, token, tokens, words};
use crate::testing::{file, hours, policy, start, webhook};

fn held() -> impl Strategy<Value = SinkContent> {
    prop_oneof![
        token().prop_map(SinkContent::Token),
        Just(SinkContent::Absent),
        words().prop_map(SinkContent::Other),
        words().prop_map(SinkContent::Unreadable),
        Just(SinkContent::Opaque),
    ]
}

fn seen() -> impl Strategy<Value = Evidence> {
    let by = prop_oneof![Just(ListedBy::Login), token().prop_map(ListedBy::Token)];
    let list = (tokens(), by, -90_i64..90, prop::option::of(-1000_i64..1000));
    (prop::option::of(list), prop::option::of((held(), held()))).prop_map(|(list, sinks)| {
        let list = list.map(|(tokens, by, age, skew)| TokenList {
            at: start() - TimeDelta::seconds(age),
            tokens,
            by,
            skew: skew.map(TimeDelta::seconds),
        });
        let sinks =
            sinks.map(|(app, crm)| [("app".to_owned(), app), ("crm".to_owned(), crm)].into());
        Evidence {
            list,
            sinks,
            ..Evidence::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_events_are_folded_and_planned_upon(
        events in events(),
        seen in seen(),
        adopt in any::<bool>(),
    ) {
        let state = AccountState::fold((1..).zip(&events).map(|(seq, (at, event))| (seq, *at, event)));
        prop_assert_eq!(state.seq, events.len() as u64);
        let read = |(_, event): &(_, Event)| -> Event {
            serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap()
        };
        prop_assert!(events.iter().all(|row| read(row) == row.1));

        let mut policy = policy([file("app"), webhook("crm")]);
        policy.retention.foreign = if adopt { Foreign::Adopt } else { Foreign::Keep };
        let decision = plan(&policy, &state, &seen, start());
        prop_assert_eq!(&decision, &plan(&policy, &state, &seen, start()));
        let alerts =
            AlertsPolicy { repeat_after: hours(24), resolved: true, overdue_after: hours(24), email: None };
        conditions(&policy, &alerts, &state, start());
    }
}
