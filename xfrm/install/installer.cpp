// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/install/installer.h"

#include <linux/xfrm.h>
#include <sys/random.h>

#include <algorithm>

#include "xfrm/install/refusal.h"
#include "xfrm/state/kernel.h"
#include "xfrm/state/message.h"
#include "xfrm/state/text.h"
#include "xfrm/state_file.h"

namespace cs::xfrm {
namespace {

using netlink::Message;
using netlink::Request;

constexpr std::size_t max_memory = max_owned * 192;
// Our policies' indices are drawn from where the kernel's own counting does not get.
constexpr std::uint32_t index_base = 0x40000000;
constexpr std::uint32_t index_step = 8;  // the lowest three bits are the direction

Result<std::uint32_t> drawn_number() {
  std::uint32_t drawn = 0;
  if (getrandom(&drawn, sizeof(drawn), 0) == sizeof(drawn)) return drawn;
  return from_errno(errno, "drawing a random number");
}

Result<std::string> boot_id() {
  const std::string path = "/proc/sys/kernel/random/boot_id";
  CS_TRY(auto text, read_state_file(path, 64));
  if (!text) return Error(ErrorKind::unsupported, path + " is not there");
  if (text->ends_with('\n')) text->pop_back();
  return std::move(*text);
}

Result<InstallMemory> read_memory(const std::string& path) {
  InstallMemory fresh;
  CS_TRY(fresh.boot, boot_id());
  CS_TRY(const std::uint32_t drawn, drawn_number());
  fresh.tag = std::max(drawn, std::uint32_t{1});
  CS_TRY(const auto text, read_state_file(path, max_memory));
  if (!text) return fresh;
  auto memory = parse_install_memory(*text);
  if (!memory.ok()) {
    return std::move(memory)
        .error()
        .context("reading " + path)
        .with_hint("look at what is there (countersign xfrm show), then remove the file");
  }
  return memory->boot == fresh.boot ? std::move(*memory) : fresh;
}

// Whether the kernel takes them for one.
bool same_place(const Policy& a, const Policy& b) {
  return a.direction == b.direction && a.selector == b.selector && a.mark == b.mark &&
         a.interface_id == b.interface_id;
}

template <class T>
bool is_among(const std::vector<T>& all, const T& one) {
  return std::ranges::find(all, one) != all.end();
}

// `first`, and what of `more` is not in it.
template <class T>
std::vector<T> united(std::vector<T> first, const std::vector<T>& more) {
  std::ranges::copy_if(more, std::back_inserter(first),
                       [&](const T& one) { return !is_among(first, one); });
  return first;
}

// Whether the kernel would be told the same, whatever it has counted since.
bool says_the_same(const Policy& a, const Policy& b) {
  const auto bytes_of = [](const Policy& policy) {
    auto request = put_policy_request(policy, Put::replace);
    if (!request.ok()) return std::vector<std::uint8_t>();
    const auto* begin = reinterpret_cast<const std::uint8_t*>(request->header());
    return std::vector<std::uint8_t>(begin, begin + request->header()->nlmsg_len);
  };
  return bytes_of(a) == bytes_of(b);
}

// The request that puts back what the kernel told.
Result<Request> put_back_request(ByteView payload) {
  Request request(XFRM_MSG_UPDPOLICY, 0);
  const auto fixed = netlink::first_of<xfrm_userpolicy_info>(payload);
  if (!fixed) return Error(ErrorKind::internal, "a policy without its fixed part");
  request.fixed<xfrm_userpolicy_info>() = *fixed;
  request.append(payload.subspan(sizeof(*fixed)));
  return request;
}

bool is_gone(const Error& error) {
  return error.os_error() == ENOENT || error.os_error() == ESRCH;
}

}  // namespace

Result<Installer> Installer::open(netlink::Socket socket, std::string state_file) {
  CS_TRY(UniqueFd held, hold_state_file(state_file, "keymsd"));
  CS_TRY(auto memory, read_memory(state_file));
  return Installer(std::move(socket), std::move(state_file), std::move(held), std::move(memory));
}

std::vector<std::string> Installer::names() const {
  std::vector<std::string> all;
  for (const auto& [name, owned] : memory_.owned) all.push_back(name);
  return all;
}

Result<std::vector<SaId>> Installer::sas(const std::string& name) {
  const auto known = memory_.owned.find(name);
  std::vector<SaId> there;
  if (known == memory_.owned.end()) return there;
  for (const SaId& id : known->second.sas) {
    CS_TRY(const bool ours, has_ours(id));
    if (ours) there.push_back(id);
  }
  return there;
}

Result<void> Installer::replace(const std::string& name, TunnelSet set) {
  CS_CHECK(check_name(name));
  CS_TRY(const Change change, plan(name, set));
  CS_CHECK(remember(name, change.during));
  auto done = put(change, set);
  for (SaWithKeys& one : set.sas) one.keys.wipe();  // the kernel has them
  if (!done.ok()) {
    auto undone = undo(change, set);
    if (undone.ok()) undone = remember(name, change.before);
    if (undone.ok()) return done;
    return std::move(done).error().context("installing " + name +
                                           ", which could not be put back as it was (" +
                                           undone.error().message() + ")");
  }
  CS_CHECK(clear(change).context("taking out what " + name + " had before"));
  return remember(name, change.after);
}

Result<Installer::Change> Installer::plan(const std::string& name, const TunnelSet& set) {
  Change change;
  if (const auto known = memory_.owned.find(name); known != memory_.owned.end()) {
    for (const PolicyId& id : known->second.policies) {
      CS_TRY(auto found, find(id));
      if (!found) continue;
      change.before.policies.push_back(id);
      change.present.push_back(std::move(*found));
    }
    CS_TRY(change.before.sas, sas(name));
  }
  CS_CHECK(plan_sas(set, change));
  CS_CHECK(plan_policies(set, change));
  change.during = {united(change.before.policies, change.after.policies),
                   united(change.before.sas, change.after.sas)};
  return change;
}

Result<void> Installer::plan_sas(const TunnelSet& set, Change& change) const {
  for (const SaId& id : set.kept) {
    if (!is_among(change.before.sas, id)) {
      return Error(ErrorKind::not_found, "keeping an SA to " + id.destination.text() +
                                             ": none of this name and SPI is there");
    }
    change.after.sas.push_back(id);
  }
  for (const SaWithKeys& one : set.sas) {
    CS_CHECK(add_sa_request(one, memory_.tag));  // what it refuses is refused before all else
    if (is_among(change.before.sas, one.sa.id) || is_among(change.after.sas, one.sa.id)) {
      return Error(ErrorKind::exists, name_of(one.sa) + " is there already")
          .with_hint("keep it, or take another SPI and other keys: no key is installed twice");
    }
    change.after.sas.push_back(one.sa.id);
  }
  return {};
}

Result<void> Installer::plan_policies(const TunnelSet& set, Change& change) {
  for (const Policy& wanted : set.policies) {
    Step step{wanted, nullptr};
    const auto times = std::ranges::count_if(
        set.policies, [&](const Policy& other) { return same_place(other, wanted); });
    if (times > 1) return Error(ErrorKind::invalid, name_of(wanted) + " is in the set twice");
    const auto before = std::ranges::find_if(
        change.present, [&](const Present& one) { return same_place(one.policy, wanted); });
    if (before != change.present.end()) {
      step.before = &*before;
      step.policy.index = before->id.index;
    } else {
      CS_TRY(const std::uint32_t drawn, drawn_number());
      step.policy.index = (index_base | (drawn % index_base)) & ~(index_step - 1);
      step.policy.index |= static_cast<std::uint32_t>(wanted.direction);
    }
    CS_CHECK(put_policy_request(step.policy, Put::add));
    change.after.policies.push_back(
        {wanted.direction, step.policy.index, wanted.mark, wanted.interface_id});
    const bool as_it_is = step.before != nullptr && says_the_same(step.before->policy, step.policy);
    if (!as_it_is) change.steps.push_back(std::move(step));
  }
  // Who decrypts before who encrypts.
  std::stable_partition(change.steps.begin(), change.steps.end(),
                        [](const Step& step) { return step.policy.direction != Direction::out; });
  return {};
}

Result<void> Installer::put(const Change& change, const TunnelSet& set) {
  for (const SaWithKeys& one : set.sas) {
    CS_TRY(Request request, add_sa_request(one, memory_.tag));
    auto added = socket_.tell(std::move(request), "adding " + name_of(one.sa));
    if (!added.ok()) return explain(std::move(added).error(), one.sa);
  }
  for (const Step& step : change.steps) {
    CS_TRY(Request request,
           put_policy_request(step.policy, step.before == nullptr ? Put::add : Put::replace));
    auto done = socket_.tell(std::move(request), "installing " + name_of(step.policy));
    if (!done.ok()) return explain(std::move(done).error(), step.policy);
  }
  return {};
}

// Whatever of it was done: what was not is not there, or is as it was.
Result<void> Installer::undo(const Change& change, const TunnelSet& set) {
  for (const Step& step : change.steps) {
    if (step.before == nullptr) {
      const Policy& p = step.policy;
      CS_CHECK(take_out(PolicyId{p.direction, p.index, p.mark, p.interface_id}));
    } else {
      CS_TRY(Request request, put_back_request(step.before->payload));
      CS_CHECK(socket_.tell(std::move(request), "putting back " + name_of(step.before->policy)));
    }
  }
  for (const SaWithKeys& one : set.sas) CS_CHECK(take_out(one.sa.id));
  return {};
}

// SAs first: between the two, packets are dropped, not sent in clear.
Result<void> Installer::clear(const Change& change) {
  for (const SaId& id : change.before.sas) {
    if (!is_among(change.after.sas, id)) CS_CHECK(take_out(id));
  }
  for (const PolicyId& id : change.before.policies) {
    if (!is_among(change.after.policies, id)) CS_CHECK(take_out(id));
  }
  return {};
}

// Written before the kernel changes, so that there is never a change nobody remembers.
Result<void> Installer::remember(const std::string& name, const Owned& owned) {
  InstallMemory memory = memory_;
  memory.owned[name] = owned;
  if (owned == Owned{}) memory.owned.erase(name);
  CS_TRY(const std::string text, format_install_memory(memory));
  CS_CHECK(write_state_file(state_file_, memory.owned.empty() ? "" : text));
  memory_ = std::move(memory);
  return {};
}

Result<std::optional<Installer::Present>> Installer::find(const PolicyId& id) {
  std::optional<Present> found;
  auto asked = socket_.ask(
      get_policy_request(id), "looking for a policy of ours",
      [&](const Message& message) -> Result<void> {
        if (message.header.nlmsg_type != XFRM_MSG_NEWPOLICY) return {};
        CS_TRY(Policy policy, parse_policy(message.payload));
        found = Present{id, std::move(policy), {message.payload.begin(), message.payload.end()}};
        return {};
      });
  if (asked.ok() || is_gone(asked.error())) return found;
  return std::move(asked).error();
}

Result<bool> Installer::has_ours(const SaId& id) {
  bool ours = false;
  auto asked = socket_.ask(get_sa_request(id), "looking for an SA of ours",
                           [&](const Message& message) -> Result<void> {
                             if (message.header.nlmsg_type != XFRM_MSG_NEWSA) return {};
                             CS_TRY(const Sa sa, parse_sa(message.payload));
                             const auto raw = netlink::first_of<xfrm_usersa_info>(message.payload);
                             ours = sa.id == id && raw && raw->seq == memory_.tag;
                             return {};
                           });
  if (asked.ok() || is_gone(asked.error())) return ours;
  return std::move(asked).error();
}

Result<void> Installer::take_out(const PolicyId& id) {
  auto done = socket_.tell(delete_policy_request(id), "removing a policy of ours");
  return done.ok() || is_gone(done.error()) ? Result<void>() : std::move(done);
}

Result<void> Installer::take_out(const SaId& id) {
  CS_TRY(const bool ours, has_ours(id));
  if (!ours) return {};
  auto done = socket_.tell(delete_sa_request(id), "removing an SA to " + id.destination.text());
  return done.ok() || is_gone(done.error()) ? Result<void>() : std::move(done);
}

}  // namespace cs::xfrm
