//! What is known of the load balancers we make: which one was seen to be made for which object, and
//! what stands in the way of the others.

use std::collections::{BTreeMap, HashMap};

use direct_access::Owner;

/// What is known of the load balancers we make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    ids: HashMap<String, String>,
    problems: BTreeMap<Owner, String>,
}

impl Made {
    /// These ids, by the UID of the object that the load balancer's tag names.
    pub fn of(ids: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            ids: ids.into_iter().collect(),
            problems: BTreeMap::new(),
        }
    }

    /// The load balancer whose tags say that it was made for the object of this UID.
    pub fn id(&self, uid: &str) -> Option<&str> {
        self.ids.get(uid).map(String::as_str)
    }

    /// What a user should know, by the object.
    pub fn problems(&self) -> impl Iterator<Item = (&Owner, &str)> {
        let all = self.problems.iter();
        all.map(|(owner, problem)| (owner, problem.as_str()))
    }

    /// Takes in that its tags were seen.
    pub fn confirm(&mut self, uid: &str, id: &str) {
        self.ids.insert(uid.to_owned(), id.to_owned());
    }

    /// Takes in what a user should know: the whole note, which names the object.
    pub fn tell(&mut self, owner: Owner, problem: String) {
        self.problems.insert(owner, problem);
    }
}
