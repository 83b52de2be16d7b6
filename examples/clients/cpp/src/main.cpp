// A streamlog client made of docs/protocol.md and proto/ alone; ../../README.md says what it does.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <sstream>
#include <vector>

#include "commands.h"

namespace client {
namespace {

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

void Run(const std::string& command, const Flags& flags) {
  if (command == "vectors") return Vectors(flags);
  Cluster cluster(Split(flags.Text("bootstrap")));
  if (command == "plain") return Plain(cluster, flags);
  if (command == "produce") return Produce(cluster, flags);
  if (command == "consume" || command == "replay") return Consume(cluster, flags);
  if (command == "group") return Group(cluster, flags);
  throw std::invalid_argument("unknown command " + command);
}

}  // namespace

Flags::Flags(int argc, char** argv) {
  for (int i = 2; i + 1 < argc; i += 2) values_[std::string(argv[i]).substr(2)] = argv[i + 1];
}

std::string Flags::Text(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? "" : found->second;
}

std::int64_t Flags::Number(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? 0 : std::stoll(found->second);
}

}  // namespace client

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  try {
    client::Run(argc > 1 ? argv[1] : "", client::Flags(argc, argv));
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return EXIT_FAILURE;
  }
}
