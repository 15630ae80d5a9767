// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/bench/run.h"

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <optional>

#include "tools/bench/own_tpm.h"
#include "tools/bench/tpm_signing.h"

namespace cs::bench {

namespace {

constexpr std::array sweep_loads{5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 125, 150};

void say(const std::string& what) {
  std::cerr << "nfq-bench: " << what << '\n';
}

const ModeResult* found_live(const Results& results, const std::string& mode) {
  const auto found = std::find_if(
      results.modes.begin(), results.modes.end(),
      [&](const ModeResult& result) { return result.mode == mode && result.setup == Setup::live; });
  return found == results.modes.end() ? nullptr : &*found;
}

// A mode with what it needs for one setup, and what was measured so far.
struct Series {
  const Mode* mode = nullptr;
  Setup setup = Setup::drain;
  std::vector<Sample> samples;
};

class Run {
 public:
  explicit Run(const Options& options, Keys keys)
      : options_(options), keys_(std::move(keys)), modes_(modes_of(options)) {}

  Result<Results> run();

 private:
  Result<void> set_up();
  Result<void> measure();
  Result<void> measure_latency(Results& results);
  Result<void> measure_beside_flood(Results& results);
  Result<void> sweep(Results& results);
  [[nodiscard]] Results summarise() const;
  [[nodiscard]] const Series* find(const std::string& mode, Setup setup) const;
  [[nodiscard]] Network& network_of(const Mode& mode) { return networks_.at(mode.path); }
  Result<void> start_tpm();
  [[nodiscard]] Context context() const {
    return {options_, keys_, clock_, cores_, signing_.get()};
  }

  const Options& options_;
  Keys keys_;
  SystemClock clock_;
  std::vector<int> cores_;
  std::vector<Mode> modes_;
  std::map<Path, Network> networks_;
  std::map<Contents, Feed> feeds_;
  std::vector<Series> series_;
  std::optional<OwnTpm> tpm_;
  std::unique_ptr<TpmSigning> signing_;  // of mode sign-tpm
};

// A real TPM costs no processor. What stands in for it, and all threads on the way to it, stay
// beside the workers, whom waking them would else interrupt: they inherit where this thread is.
class BesideWorkers {
 public:
  BesideWorkers(const std::vector<int>& cores, std::size_t workers) : cores_(cores) {
    if (cores.size() > workers) stay_on(cores, 0, 1);
  }
  BesideWorkers(const BesideWorkers&) = delete;
  BesideWorkers& operator=(const BesideWorkers&) = delete;
  BesideWorkers(BesideWorkers&&) = delete;
  BesideWorkers& operator=(BesideWorkers&&) = delete;
  ~BesideWorkers() { stay_on(cores_, 0, cores_.size() + 1); }  // anywhere

 private:
  const std::vector<int>& cores_;
};

// Where there is none, its mode is left out.
Result<void> Run::start_tpm() {
  const auto needs_one = [](const Mode& mode) { return mode.first == EngineKind::sign_tpm; };
  if (std::ranges::none_of(modes_, needs_one)) return {};
  if (public_key_size(static_cast<keyms::Suite>(keys_.suite())) != 65) {
    say("mode sign-tpm is left out: a TPM signs with P-256 only");
    std::erase_if(modes_, needs_one);
    return {};
  }
  const BesideWorkers here(cores_, options_.queues);
  auto started = OwnTpm::start();
  if (!started.ok() && started.error().kind() == ErrorKind::not_found) {
    say("mode sign-tpm is left out: " + started.error().message());
    std::erase_if(modes_, needs_one);
    return {};
  }
  CS_TRY(tpm_, std::move(started));
  const LaneRange lanes{0, static_cast<std::uint16_t>(options_.queues - 1)};
  CS_TRY(signing_,
         TpmSigning::start(clock_, {tpm_->tcti(), tpm_->file("keymsd"), keys_.scope(), lanes}));
  return {};
}

Result<void> Run::set_up() {
  CS_TRY(cores_, allowed_cores());
  CS_CHECK(start_tpm());
  const std::size_t mtu = std::max<std::size_t>(1500, options_.size + max_extension);
  for (const Mode& mode : modes_) {
    if (!networks_.contains(mode.path)) {
      CS_TRY(Network network, Network::create({mode.path, options_.ipv6, options_.queues, mtu}));
      networks_.emplace(mode.path, std::move(network));
    }
    if (!feeds_.contains(mode.contents)) {
      CS_TRY(Feed feed, Feed::create(options_, keys_, mode.contents));
      feeds_.emplace(mode.contents, std::move(feed));
    }
    if (mode.signs() && mode.path == Path::out)
      CS_CHECK(prove_signatures(context(), mode, network_of(mode)));
  }
  for (const Setup setup : options_.setups) {
    for (const Mode& mode : modes_) {
      if (mode.allows(setup)) series_.push_back({&mode, setup, {}});
    }
  }
  if (!series_.empty()) return {};
  return Error(ErrorKind::invalid, "none of these modes can be measured in this setup")
      .with_hint("sign-remote, sign-tpm, accept-twice and end-to-end only go with --setup live");
}

Result<void> Run::measure() {
  for (std::size_t round = 0; round < options_.rounds; ++round) {
    say("round " + std::to_string(round + 1) + " of " + std::to_string(options_.rounds));
    for (Series& series : series_) {
      const auto one = series.setup == Setup::drain ? drain : live;
      CS_TRY(Sample sample, one(context(), *series.mode, network_of(*series.mode),
                                feeds_.at(series.mode->contents)));
      series.samples.push_back(std::move(sample));
    }
  }
  return {};
}

const Series* Run::find(const std::string& mode, Setup setup) const {
  const auto found = std::find_if(series_.begin(), series_.end(), [&](const Series& series) {
    return series.mode->name == mode && series.setup == setup;
  });
  return found == series_.end() ? nullptr : &*found;
}

template <class Value>
double median_of(const std::vector<Sample>& samples, Value value) {
  std::vector<double> values;
  values.reserve(samples.size());
  for (const Sample& sample : samples) values.push_back(sample.*value);
  return median(std::move(values));
}

Results Run::summarise() const {
  Results results;
  for (const Series& series : series_) {
    ModeResult mode{.mode = series.mode->name, .setup = series.setup, .batch = options_.batch};
    if (series.mode->first == EngineKind::sign_remote) mode.batch = remote_batch;
    mode.pps = median_of(series.samples, &Sample::pps);
    mode.gbps = mode.pps * static_cast<double>(options_.size) * 8 / 1e9;
    mode.cpu_us_per_packet = median_of(series.samples, &Sample::cpu_us_per_packet);
    mode.overhead_bytes = median_of(series.samples, &Sample::overhead_bytes);
    mode.memory_mib = median_of(series.samples, &Sample::memory_mib);
    for (const Sample& sample : series.samples) {
      for (const auto& [cause, count] : sample.drops) mode.drops[cause] += count;
    }
    results.modes.push_back(std::move(mode));
  }
  for (const Setup setup : options_.setups) {
    for (const Ratio& ratio : all_ratios()) {
      const Series* above = find(ratio.above, setup);
      const Series* below = find(ratio.below, setup);
      if (above == nullptr || below == nullptr) continue;
      std::vector<double> values;
      for (std::size_t i = 0; i < above->samples.size(); ++i)
        values.push_back(above->samples[i].pps / below->samples[i].pps);
      results.ratios.push_back({ratio.name, setup, median(std::move(values))});
    }
  }
  if (!networks_.empty()) results.steered_by = networks_.begin()->second.steered_by();
  return results;
}

Result<void> Run::measure_latency(Results& results) {
  const double seconds = std::min(options_.seconds, 1.0);
  for (std::size_t i = 0; i < series_.size(); ++i) {
    const Mode& mode = *series_[i].mode;
    if (series_[i].setup != Setup::live || !mode.delivers) continue;
    std::array<Paced, latency_loads.size()> all;
    for (std::size_t load = 0; load < latency_loads.size(); ++load) {
      const double pps = results.modes[i].pps * latency_loads.at(load) / 100;
      CS_TRY(all.at(load),
             pace(context(), mode, network_of(mode), feeds_.at(mode.contents), pps, seconds));
      if (all.at(load).delivered_pps > 0) continue;
      return Error(ErrorKind::unverified, "mode " + mode.name + ": no packet came to the receiver");
    }
    results.modes[i].latency = all;
    CS_TRY(results.modes[i].calm,
           pace(context(), mode, network_of(mode), feeds_.at(mode.contents), calm_pps, seconds));
  }
  const ModeResult* const both = found_live(results, "end-to-end");
  const ModeResult* const kernel = found_live(results, "accept-twice");
  if (both != nullptr && kernel != nullptr) {
    results.ratios.push_back(
        {"calm latency end-to-end/accept", Setup::live, both->calm.p50_us / kernel->calm.p50_us});
  }
  return {};
}

// As many packets as the verifier can take, every second one forged.
Result<void> Run::measure_beside_flood(Results& results) {
  const ModeResult* const verify = found_live(results, "verify");
  if (verify == nullptr || found_live(results, "flood") == nullptr) return {};
  CS_TRY(Feed feed, Feed::create(options_, keys_, Contents::half_forged));
  const Mode& mode = *find("verify", Setup::live)->mode;
  CS_TRY(results.beside_flood, pace(context(), mode, network_of(mode), feed, verify->pps,
                                    std::min(options_.seconds, 1.0)));
  return {};
}

Result<void> Run::sweep(Results& results) {
  const ModeResult* const found = found_live(results, "end-to-end");
  if (found == nullptr) {
    return Error(ErrorKind::invalid, "--sweep needs the live capacity of mode end-to-end")
        .with_hint("leave --modes and --setup away, or name end-to-end and live");
  }
  const Mode& mode = *find("end-to-end", Setup::live)->mode;
  for (const int load : sweep_loads) {
    CS_TRY(const Paced paced, pace(context(), mode, network_of(mode), feeds_.at(mode.contents),
                                   found->pps * load / 100, std::min(options_.seconds, 1.0)));
    results.sweep.push_back({load, paced});
  }
  return {};
}

Result<Results> Run::run() {
  CS_CHECK(set_up());
  CS_CHECK(measure());
  Results results = summarise();
  if (options_.has(Setup::live)) say("latency");
  CS_CHECK(measure_latency(results));
  CS_CHECK(measure_beside_flood(results));
  if (!options_.sweep) return results;
  say("sweep");
  CS_CHECK(sweep(results));
  return results;
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Result<Results> run_all(const Options& options) {
  CS_TRY(Keys keys, Keys::create(options.suite));
  return Run(options, std::move(keys)).run();
}

}  // namespace cs::bench
