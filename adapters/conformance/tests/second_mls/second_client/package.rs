//! AddPackages of our own (06, "AddPackages").

use phoenix_core::{
    KeyPackageRef,
    api::queue::{AddPackage, PublishAddPackages, PublishAddPackagesRequest},
    crypto::{HpkeSecretKey, Suite},
    wire::{Flag, List, Opaque, Sender},
};

use super::{
    SecondClient,
    call::Auth,
    leaf::OwnLeaf,
    mls::{self, Kind},
};

/// An AddPackage that someone may take.
#[derive(Clone)]
pub(crate) struct Package {
    pub(crate) kind: Kind,
    pub(crate) client: mls::Client,
    pub(crate) leaf: OwnLeaf,
    pub(crate) init_key: HpkeSecretKey,
    pub(crate) reference: KeyPackageRef,
}

impl SecondClient {
    /// Publishes packages by which friends add this client: of both suites, since groups are of either.
    pub(crate) async fn publish_packages(&mut self) {
        let (mut packages, mut last_resort) = (Vec::new(), Vec::new());
        for suite in [Suite::Ed25519, Suite::P256] {
            for _ in 0..ORDINARY {
                packages.push(self.make_package(suite, Kind::Ordinary).await);
            }
            last_resort.push(self.make_package(suite, Kind::LastResort).await);
        }
        let request = PublishAddPackagesRequest {
            client: self.record.client,
            packages: List::new(packages).unwrap(),
            last_resort: List::new(last_resort).unwrap(),
            append: Flag::No,
        };
        let auth = Auth::new(Sender::QsClient(self.record.client), &self.record.key);
        let domain = self.caller.domain();
        self.caller.call::<PublishAddPackages>(&domain, Some(auth), &request).await.unwrap();
    }

    async fn make_package(&mut self, suite: Suite, kind: Kind) -> AddPackage {
        let (id, config) = self.make_config(None).await;
        let leaf = self.fresh_leaf(suite);
        let client = mls::client(&leaf, self.caller.now());
        let mls::KeyPackage { encoded, reference, init_key } =
            mls::key_package(&client, &config, kind, self.caller.now());
        let link_key = leaf.seal_link_key(&self.record.friendship.encryption_key, &mut self.caller.chance);
        self.packages.insert(id, Package { kind, client, leaf, init_key, reference });
        AddPackage { key_package: Opaque::new(encoded).unwrap(), config, link_key }
    }
}

/// Packages of each suite that are served once.
pub(crate) const ORDINARY: usize = 2;
