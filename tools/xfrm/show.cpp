// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/xfrm/show.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "tools/xfrm/json.h"
#include "xfrm/state/kernel.h"
#include "xfrm/state/text.h"

namespace cs::xfrm {
namespace {

using inspect::Outcome;
using Json = nlohmann::ordered_json;

bool names(const Sa& sa, const Address& peer) {
  return sa.source == peer || sa.id.destination == peer;
}

bool names(const Policy& policy, const Address& peer) {
  return std::ranges::any_of(policy.templates, [&](const Template& wanted) {
    return wanted.source == peer || wanted.destination == peer;
  });
}

// Writes what is read one by one, so that a table of any size needs no more memory than one entry.
class Page {
 public:
  Page(const ShowOptions& options, std::ostream& out) : options_(options), out_(out) {}
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;
  Page(Page&&) = delete;
  Page& operator=(Page&&) = delete;
  virtual ~Page() = default;

  virtual void begin_policies() = 0;
  virtual void policy(const Policy& policy) = 0;
  virtual void begin_sas() = 0;
  virtual void sa(const Sa& sa) = 0;
  virtual void switches(const std::optional<Defaults>& defaults,
                        const std::vector<InterfaceSwitches>& interfaces) = 0;
  virtual void end(const Error* error) = 0;

  [[nodiscard]] bool is_wanted(const auto& one) const {
    return !options_.peer || names(one, *options_.peer);
  }

 protected:
  const ShowOptions& options_;
  std::ostream& out_;
};

class TextPage : public Page {
 public:
  using Page::Page;
  void begin_policies() override {}
  void policy(const Policy& policy) override {
    out_ << name_of(policy) << "\n" << describe(policy);
    ++policies_;
  }
  void begin_sas() override {}
  void sa(const Sa& sa) override {
    out_ << name_of(sa) << "\n" << describe(sa);
    ++sas_;
  }
  void switches(const std::optional<Defaults>& defaults,
                const std::vector<InterfaceSwitches>& interfaces) override {
    const Defaults known = defaults.value_or(Defaults());
    out_ << "default policy: in " << text(known.in) << ", fwd " << text(known.forward) << ", out "
         << text(known.out) << "\n";
    for (const InterfaceSwitches& one : interfaces) {
      if (one.name == "lo") continue;  // always so, and leads nowhere
      const auto tell = [&](bool on, std::string_view name, std::string_view meaning) {
        if (on) out_ << "interface " << detail::one_line(one.name) << ": " << name << meaning;
      };
      tell(one.disable_xfrm, "disable_xfrm", ", what leaves by it is not encrypted\n");
      tell(one.disable_policy, "disable_policy", ", what comes in clear is taken\n");
      tell(one.disable_policy_ipv6, "disable_policy of IPv6", ", what comes in clear is taken\n");
    }
  }
  void end(const Error* error) override {
    if (error == nullptr) out_ << policies_ << " policies, " << sas_ << " SAs\n";
  }

 private:
  std::size_t policies_ = 0;
  std::size_t sas_ = 0;
};

class JsonPage : public Page {
 public:
  using Page::Page;
  void begin_policies() override {
    out_ << R"({"schema_version":)" << inspect::schema_version << R"(,"policies":[)";
  }
  void policy(const Policy& policy) override { write(to_json(policy)); }
  void begin_sas() override {
    out_ << R"(],"sas":[)";
    first_ = true;
  }
  void sa(const Sa& sa) override { write(to_json(sa)); }
  void switches(const std::optional<Defaults>& defaults,
                const std::vector<InterfaceSwitches>& interfaces) override {
    Json rows = Json::array();
    for (const InterfaceSwitches& one : interfaces) rows.push_back(to_json(one));
    out_ << R"(],"default_policy":)" << (defaults ? to_json(*defaults) : Json(nullptr)).dump()
         << R"(,"interfaces":)" << rows.dump();
    in_row_ = false;
  }
  void end(const Error* error) override {
    out_ << (in_row_ ? "]" : "") << R"(,"complete":)" << (error == nullptr ? "true" : "false");
    if (error != nullptr) out_ << R"(,"error":)" << Json(error->message()).dump();
    out_ << "}\n";
  }

 private:
  void write(const Json& json) {
    out_ << (first_ ? "\n" : ",\n") << json.dump();
    first_ = false;
  }
  bool in_row_ = true;
  bool first_ = true;
};

Result<void> tell(netlink::Socket& socket, Page& page) {
  page.begin_policies();
  CS_CHECK(each_policy(socket, [&](const Policy& policy) {
    if (page.is_wanted(policy)) page.policy(policy);
    return Result<void>();
  }));
  page.begin_sas();
  CS_CHECK(each_sa(socket, [&](const Sa& sa) {
    if (page.is_wanted(sa)) page.sa(sa);
    return Result<void>();
  }));
  CS_TRY(const auto defaults, read_defaults(socket));
  CS_TRY(const auto interfaces, read_switches());
  page.switches(defaults, interfaces);
  return {};
}

}  // namespace

Outcome show(const ShowOptions& options, std::ostream& out, std::ostream& err) {
  auto socket = open_socket();
  if (!socket.ok()) {
    return inspect::fail(socket.error(), Outcome::unreadable, options.json, out, err);
  }
  TextPage as_text(options, out);
  JsonPage as_json(options, out);
  Page& page = options.json ? static_cast<Page&>(as_json) : as_text;
  const auto told = tell(*socket, page);
  page.end(told.ok() ? nullptr : &told.error());
  if (told.ok()) return Outcome::good;
  return inspect::fail(told.error(), Outcome::unreadable, false, out, err);
}

}  // namespace cs::xfrm
