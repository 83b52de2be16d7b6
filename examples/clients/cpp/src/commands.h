// What the program can do.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "cluster.h"

namespace client {

// Flags as given: `--name value`.
class Flags {
 public:
  Flags(int argc, char** argv);

  bool Has(const std::string& name) const { return values_.contains(name); }
  // Empty if it was not given.
  std::string Text(const std::string& name) const;
  // 0 if it was not given. Throws std::invalid_argument.
  std::int64_t Number(const std::string& name) const;

 private:
  std::map<std::string, std::string> values_;
};

// Seconds since it was made.
class Stopwatch {
 public:
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }

 private:
  Clock::time_point begun_ = Clock::now();
};

// Each throws if it fails for good.
void Vectors(const Flags& flags);
void Plain(Cluster& cluster, const Flags& flags);
void Produce(Cluster& cluster, const Flags& flags);
void Consume(Cluster& cluster, const Flags& flags);
void Group(Cluster& cluster, const Flags& flags);

// The last line of whatever reads records.
void SayConsumed(const std::string& command, std::uint64_t records, double seconds);

}  // namespace client
