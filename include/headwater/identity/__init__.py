"""Who somebody is: people and service accounts, their passwords and groups. What they may is the policy's."""
