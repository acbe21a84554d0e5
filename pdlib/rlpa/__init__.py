"""Part 8: profiles learned from dialogues, as RLPA learns them, and PersonaDual fed with them.

RLPA: Zhao et al. 2025, arXiv 2505.15456. The paper's section, equation or appendix stands where a
thing is defined. Departures:
1. GRPO instead of PPO with a critic: one prompt's rollouts are each other's baseline, by the
   trainer that PersonaDual has. The authors' code also makes every turn one prompt with a reward of
   its own and no credit between turns, so nothing else changes.
2. The gold profile of the Profile Reward is what the user has revealed so far;
   in the paper it is the whole hidden profile, which punishes leaving out what nobody could know.
   Where nothing is revealed, an empty profile earns 1.
3. Slots are matched by rule, not by a language model (which the paper's App. H.1 finds exact in 35
   % of cases: GPT-4o-mini). The Response Reward's five criteria become one that a rule decides: is
   this the reply that the inferred profile asks for, and not one that asks for what was told?
4. The pocket user is a script and does not react to replies; a user behind an endpoint
   (`pdlib.rlpa.real`) does.
5. RL starts from a model that has learned the format by SFT; the paper's backbone is able to follow
   a format when asked.
6. Four slots and six turns, the paper has ten of each; the profile changes from turn four on, the
   paper's at turn six.
As in the authors' code: every turn's reward is the sum of both, 0 for a malformed answer; of a
turn's rollouts the one with the highest reward goes on in the dialogue; of the earlier answers the
model is shown the replies, and of the last one the profile, too.
"""
