//! How members of tests are added, and join.

use openmls::prelude::{
    Extension, Extensions, KeyPackage, KeyPackageBuilder, LeafNodeParameters, Lifetime, MlsGroup,
    MlsMessageBodyIn, RatchetTreeIn, StagedWelcome, UnknownExtension,
};
use openmls_traits::OpenMlsProvider as _;
use phoenix_core::{
    Failure, KeyPackageRef,
    api::{
        delivery::{
            Accepted, AddUsersRequest, CommitRequest, ExternalCommitInfoReply, ExternalCommitInfoRequest,
            GroupAccess, JoinConnectionGroupRequest, Joined, Joiner, WelcomeBundle, WelcomeInfoRequest,
        },
        mls::{QUEUE_CONFIG_EXTENSION, QueueConfigHash},
    },
    crypto::{HpkeSecretKey, SigningKey, sha256},
    wire::{List, Opaque, Secret, Sender, Wire},
};
use tls_codec::DeserializeBytes as _;

use super::{
    Member, World,
    member::Commit,
    mls::{aad, capabilities, ciphersuite, join_config, lifetime, message, read, update},
    world::Arrived,
};
use crate::{AddUsers, ExternalCommitInfo, JoinConnectionGroup, Resync, WelcomeInfo};

impl Member {
    /// A KeyPackage for this member, and what goes with it.
    pub(crate) fn package(&mut self, world: &World) -> KeyPackage {
        self.package_until(lifetime(world))
    }

    /// A last-resort package.
    pub(crate) fn last_resort(&mut self, world: &World) -> KeyPackage {
        self.build(|it| it.key_package_lifetime(lifetime(world)).mark_as_last_resort())
    }

    pub(crate) fn package_until(&mut self, lifetime: Lifetime) -> KeyPackage {
        self.build(|it| it.key_package_lifetime(lifetime))
    }

    fn build(&mut self, how: impl FnOnce(KeyPackageBuilder) -> KeyPackageBuilder) -> KeyPackage {
        let hash = QueueConfigHash { hash: sha256(&self.config.encode()) };
        let content = UnknownExtension(hash.encode().to_vec());
        let extension = Extension::Unknown(QUEUE_CONFIG_EXTENSION, content);
        let builder = KeyPackage::builder()
            .leaf_node_capabilities(capabilities(&self.lists))
            .key_package_extensions(Extensions::from_vec(vec![extension]).unwrap());
        let bundle = how(builder)
            .build(ciphersuite(self.suite), &self.provider, &self.signer(), self.credential_with_key())
            .unwrap();
        let package = bundle.key_package().clone();
        self.package = Some(bundle);
        package
    }

    pub(crate) fn reference(&self) -> KeyPackageRef {
        let package = self.package.as_ref().unwrap().key_package();
        KeyPackageRef(package.hash_ref(self.provider.crypto()).unwrap().as_slice().try_into().unwrap())
    }

    /// The request that adds these members.
    pub(crate) fn adding(&mut self, world: &World, joiners: &mut [&mut Self]) -> AddUsersRequest {
        let packages: Vec<_> = joiners.iter_mut().map(|joiner| joiner.package(world)).collect();
        self.adding_packages(world, joiners, packages)
    }

    pub(crate) fn adding_packages(
        &mut self,
        world: &World,
        joiners: &[&mut Self],
        packages: Vec<KeyPackage>,
    ) -> AddUsersRequest {
        let commit = self.commit(packages, &[], joiners.len());
        let joiners: Vec<_> = joiners.iter().map(|it| &**it).collect();
        Self::adding_by(world, commit, &joiners)
    }

    /// The request that goes with a commit that adds these members.
    pub(crate) fn adding_by(world: &World, commit: Commit, joiners: &[&Self]) -> AddUsersRequest {
        let batches = joiners.iter().map(|it| world.batch(&it.config.domain, vec![it.reference()])).collect();
        let joiner = |it: &&Self| Joiner { config: it.config.clone(), attribution: Opaque::default() };
        let described = joiners.iter().map(joiner).collect();
        let Commit { request, welcome } = commit;
        let CommitRequest { access, commit, group_info } = request;
        AddUsersRequest {
            access,
            commit,
            group_info,
            welcome: welcome.unwrap(),
            joiners: List::new(described).unwrap(),
            batches: List::new(batches).unwrap(),
        }
    }

    /// Adds members that join at once.
    pub(crate) fn add(&mut self, world: &World, joiners: &mut [&mut Self]) -> Result<Accepted, Failure> {
        let request = self.adding(world, joiners);
        let accepted = world.call::<AddUsers>(&request, Some(self.leaf()))?;
        self.merge();
        let arrived = world.delivered();
        for joiner in joiners {
            let welcome = joiner.welcome(&arrived);
            joiner.join(world, &welcome);
        }
        Ok(accepted)
    }

    /// Adds members that do not join, at the domain of each number; as many a commit as domains may vouch for.
    pub(crate) fn grow(&mut self, world: &World, count: usize, domain: impl Fn(usize) -> String) {
        let mut members: Vec<_> =
            (0..count).map(|number| Self::with(world, &domain(number), self.suite)).collect();
        for some in members.chunks_mut(16) {
            let mut some: Vec<_> = some.iter_mut().collect();
            let request = self.adding(world, &mut some);
            world.call::<AddUsers>(&request, Some(self.leaf())).unwrap();
            self.merge();
        }
        // Invitations and commits are not what is looked at.
        world.delivered();
    }

    /// The welcome for this member.
    fn welcome(&self, arrived: &[Arrived]) -> Vec<u8> {
        let is_own = |it: &&Arrived| it.message.recipients[0].config == self.config.sealed;
        arrived.iter().rfind(is_own).unwrap().message.content.to_vec()
    }

    /// Joins by what came through the queue.
    pub(crate) fn join(&mut self, world: &World, content: &[u8]) {
        let bundle = self.open_welcome(content);
        let request = WelcomeInfoRequest {
            access: bundle.access.clone(),
            epoch: bundle.epoch,
            package: self.reference(),
        };
        let reply = world.call::<WelcomeInfo>(&request, Some(self.joiner(&bundle.access))).unwrap();
        let MlsMessageBodyIn::Welcome(welcome) = read(&bundle.welcome).extract() else {
            panic!("no welcome")
        };
        let tree = RatchetTreeIn::tls_deserialize_exact_bytes(&reply.tree).unwrap();
        let config = join_config();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &config, welcome, Some(tree)).unwrap();
        let group = staged.into_group(&self.provider).unwrap();
        assert_eq!(group.own_leaf_index().u32(), bundle.leaf.0);
        assert_eq!(reply.roster.members.len(), group.members().count());
        (self.group, self.access) = (Some(group), Some(bundle.access));
    }

    pub(crate) fn open_welcome(&self, content: &[u8]) -> WelcomeBundle {
        let secret = self.package.as_ref().unwrap().init_private_key().to_vec();
        let secret = Secret::new(secret.try_into().unwrap());
        let key = HpkeSecretKey::from_secret_bytes(self.suite, &secret).unwrap();
        WelcomeBundle::open(&key, &self.reference(), content).unwrap()
    }

    /// The external commit that joins a connection group.
    pub(crate) fn joining(
        &mut self,
        access: GroupAccess,
        info: &ExternalCommitInfoReply,
        code: Secret<32>,
    ) -> JoinConnectionGroupRequest {
        let CommitRequest { access, commit, group_info } = self.entering(access, info, 1);
        JoinConnectionGroupRequest {
            access,
            join_code: code,
            commit,
            group_info,
            config: self.config.clone(),
        }
    }

    /// The external commit that brings this member back.
    pub(crate) fn resyncing(&mut self, info: &ExternalCommitInfoReply) -> CommitRequest {
        self.entering(self.access.clone().unwrap(), info, 0)
    }

    /// Fetches what an external commit needs, and comes back.
    pub(crate) fn resync(&mut self, world: &World) -> Result<Joined, Failure> {
        let (sender, key) = (self.leaf().0, self.key.clone());
        let info = self.external_commit_info(world)?;
        let request = self.resyncing(&info);
        world.call::<Resync>(&request, Some((sender, &key)))
    }

    pub(crate) fn external_commit_info(&self, world: &World) -> Result<ExternalCommitInfoReply, Failure> {
        let access = self.access.clone().unwrap();
        let request = ExternalCommitInfoRequest { access, join_code: None };
        world.call::<ExternalCommitInfo>(&request, Some(self.leaf()))
    }

    /// An external commit, which takes along what proposals it can. The signature key decides whose place it takes.
    pub(crate) fn entering(
        &mut self,
        access: GroupAccess,
        info: &ExternalCommitInfoReply,
        keys: usize,
    ) -> CommitRequest {
        let MlsMessageBodyIn::GroupInfo(group_info) = read(&info.group_info).extract() else { panic!() };
        let stored = info.proposals.iter().map(|it| match read(it).extract() {
            MlsMessageBodyIn::PublicMessage(proposal) => proposal,
            _ => panic!(),
        });
        let signer = self.signer();
        let (group, bundle) = MlsGroup::external_commit_builder()
            .with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact_bytes(&info.tree).unwrap())
            .with_proposals(stored.collect())
            .with_config(join_config())
            .with_aad(aad(keys))
            .build_group(&self.provider, group_info, self.credential_with_key())
            .unwrap()
            .leaf_node_parameters(
                LeafNodeParameters::builder().with_capabilities(capabilities(&self.lists)).build(),
            )
            .load_psks(self.provider.storage())
            .unwrap()
            .create_group_info(true)
            .build(self.provider.rand(), self.provider.crypto(), &signer, |_| true)
            .unwrap()
            .finalize(&self.provider)
            .unwrap();
        (self.group, self.access) = (Some(group), Some(access.clone()));
        let (commit, group_info) = (message(bundle.commit()), update(bundle.group_info().unwrap()));
        CommitRequest { access, commit, group_info }
    }

    pub(crate) fn join_connection(
        &mut self,
        world: &World,
        request: &JoinConnectionGroupRequest,
    ) -> Result<Joined, Failure> {
        world.call::<JoinConnectionGroup>(request, Some(self.new_key()))
    }

    pub(crate) fn joiner(&self, access: &GroupAccess) -> (Sender, &SigningKey) {
        (Sender::KeyPackage(access.group.clone(), self.reference()), &self.key)
    }
}
