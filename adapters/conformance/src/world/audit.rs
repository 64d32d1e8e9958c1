//! Holds what the clients of a run were shown against what the homeservers accepted.

use std::collections::{BTreeMap, BTreeSet};

use phoenix_core::GroupId;

use super::{
    diary::{Chapter, Diaries},
    ledger::{Ledger, Spoken},
};

/// Adds to the ledger's violations what the clients were shown and must not have been, and what they were not shown
/// and must have been. Everything that was accepted must have arrived.
pub(crate) fn audit(ledger: &Ledger, diaries: &Diaries) {
    let accepted = ledger.accepted();
    for (text, spoken) in &accepted {
        for (client, diary) in diaries.iter().filter(|(client, _)| **client != spoken.sender) {
            if let Some(chapter) = diary.groups.get(&spoken.group) {
                judge(ledger, text, spoken, client, chapter);
            }
        }
    }
    for (client, diary) in diaries {
        for chapter in diary.groups.values() {
            let mut seen = BTreeSet::new();
            for text in &chapter.texts {
                if !seen.insert(text) {
                    ledger.violated(format!("Q2: {client} was shown {text:?} twice"));
                }
                if ledger.is_hushed(client, text) {
                    ledger
                        .violated(format!("B1: {client} was shown {text:?} of a group that it had blocked"));
                }
                if ledger.made_in(text).is_none() {
                    ledger.violated(format!("Q2: {client} was shown {text:?}, which nobody sent"));
                }
            }
        }
    }
    for (group, members) in by_group(diaries) {
        for (number, one) in members.iter().enumerate() {
            for other in members.iter().skip(number + 1) {
                same_order(ledger, *one, *other);
            }
        }
        unsure(ledger, &accepted, group, &members);
    }
}

type Shown<'a> = (&'a str, &'a Chapter);

fn by_group(diaries: &Diaries) -> BTreeMap<&GroupId, Vec<Shown<'_>>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (client, diary) in diaries {
        for (group, chapter) in &diary.groups {
            groups.entry(group).or_default().push((client.as_str(), chapter));
        }
    }
    groups
}

fn judge(ledger: &Ledger, text: &str, spoken: &Spoken, client: &str, chapter: &Chapter) {
    let shown = chapter.shown(text);
    if spoken.to.as_ref().is_some_and(|to| !to.contains(client)) {
        if shown > 0 {
            ledger.violated(format!("{client} was shown {text:?}, which was for {:?} alone", spoken.to));
        }
        return;
    }
    // Of a user with several clients, some may have been sent it, and others not any more.
    let is_for_some = spoken.to.as_ref().is_some_and(|to| spoken.times < to.len());
    let may_miss = ledger.is_passing(text) || is_for_some;
    if shown == 0 && !may_miss && chapter.must_show(spoken.made_in, spoken.epoch) {
        ledger.violated(format!("Q1: {client} was never shown {text:?}, accepted in epoch {}", spoken.epoch));
    }
    if shown > 0 && spoken.is_first && chapter.must_not_show(spoken.epoch) {
        ledger.violated(format!("D7: {client} was shown {text:?}, accepted in epoch {}", spoken.epoch));
    }
}

/// Q4: what two members were both shown, they were shown in the same order; but for what is of the moment, which no
/// queue keeps in order, and what a user is told by several messages, one for each client.
fn same_order(ledger: &Ledger, (one, ones): Shown<'_>, (other, others): Shown<'_>) {
    let both = |texts: &[String], in_these: &[String]| -> Vec<String> {
        let is_one = |text: &str| ledger.addressees(text).is_none_or(|to| to.len() == 1);
        let is_ordered = |text: &&String| in_these.contains(text) && is_one(text) && !ledger.is_passing(text);
        texts.iter().filter(is_ordered).cloned().collect()
    };
    let (first, second) = (both(&ones.texts, &others.texts), both(&others.texts, &ones.texts));
    if let Some((a, b)) = first.iter().zip(&second).find(|(a, b)| a != b) {
        ledger.violated(format!("Q4: {one} was shown {a:?} where {other} was shown {b:?}"));
    }
}

/// What nobody saw being accepted, since the process ended with its answer: it was accepted for all or for none.
fn unsure(ledger: &Ledger, accepted: &BTreeMap<String, Spoken>, group: &GroupId, members: &[Shown<'_>]) {
    let texts: BTreeSet<&String> = members.iter().flat_map(|(_, chapter)| &chapter.texts).collect();
    let is_unsure = |text: &&String| !accepted.contains_key(*text) && !ledger.is_passing(text);
    for text in texts.into_iter().filter(is_unsure) {
        let Some(made_in) = ledger.made_in(text) else { continue };
        let Some(sender) = text.split(' ').next() else { continue };
        let to = ledger.addressees(text);
        let is_for = |client: &str| client != sender && to.as_ref().is_none_or(|to| to.contains(client));
        for (client, chapter) in members.iter().filter(|(client, _)| is_for(client)) {
            let stays =
                !chapter.missed_some && chapter.stays.iter().any(|stay| stay.first <= made_in && !stay.over);
            if stays && chapter.shown(text) == 0 {
                ledger.violated(format!("Q1: {client} was never shown {text:?} of {group:?}, others were"));
            }
        }
    }
}
