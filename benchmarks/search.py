"""Search in an organization of 100,000 names: `python -m benchmarks.search [NAMES]` prints times and sizes.

The names are made as laboratories make them: instrument, sample, date, plate and run numbers,
initials, versions and suffixes, from a fixed seed. Times are those of the whole request in the
server (token, search, paths, JSON), without a network, on a warm database.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from edge_server.data import database, migration
from edge_server.data.database import SERVER
from edge_server.data.declarative import new_uid
from edge_server.files import tree
from edge_server.files.models import Node
from edge_server.identity import directory
from edge_server.keys.signing import Signer
from edge_server.run.app import build, engines_at
from edge_server.search import index

_WORDS = """
absorbance acetone acid activity actin adapter adhesion aging agarose albumin aliquot alloy amplicon analysis anneal
anode antibody array assay audit autoclave background bacteria baseline batch battery beam binding biopsy blank blot
buffer calibration camera capacity carbon catalyst cathode cell centrifuge ceramic channel charge chip chromatogram
clone coating colony column comparison concentration conductivity confocal control copper corrosion coverage crystal
culture current curve cycle cytometry data decay degradation density deposition design detector device diffraction
diffusion digest dilution discharge dispersion dissolution dna dose draft drift drug dry electrode electrolyte elisa
elution emission emulsion energy engine enzyme epoxy etching evaluation excitation experiment exposure extraction
fatigue feature fermentation fiber film filter final fixation flow fluorescence foil formulation fraction fracture frame
freezer friction furnace gate gel gene genome glass glucose gradient grain graphite growth hardness heating helium
hplc humidity hydrogen image impedance impurity incubator inhibitor injection insulin intensity interface inventory
ion isolate kinase kinetics label laser layer leakage library ligand light lipid lithium load log loss lysate magnet
map marker mass material matrix measurement membrane metabolite metal method microscope mixture model modulus moisture
molecule monitor monomer mouse mutant nickel nitrogen noise notebook nozzle nucleus offset optics overview oxide oxygen
packaging panel particle patient peak peptide permeability phase phosphate photo pilot pipette plasma plasmid plate
polymer porosity potential powder power precursor pressure primer probe process profile proliferation protein protocol
pump purity quality quantum rate raw reaction reactor reagent recipe recovery reference reflectance refraction release
repeat replicate report residue resin resistance resolution response result rheology robot roughness rpm run sample scan
screening sediment sensor separation sequence serum setup shaker shear shelf signal silicon silver simulation sintering
slide solubility solution solvent spectrum spin stability staining standard steel sterile stiffness stock storage strain
stress structure substrate sulfate summary supernatant surface swab synthesis target temperature template tensile test
thermal thickness tissue titer titration torque toxicity tracer transfection transfer transport treatment trial tube
turbidity ultrasound uptake urine vacuum validation valve vapor vector velocity vessel viability vibration viscosity
voltage volume wafer washing water wavelength wear weight weld western wire xray yeast yield zeta zinc
"""

WORDS = _WORDS.split()

INITIALS = ["ab", "cf", "dk", "eh", "gm", "hl", "jr", "kw", "ms", "nt", "pv", "rz", "sb", "th", "vl", "yo"]
INSTRUMENTS = ["hplc-2", "lcms", "facs", "sem", "tem", "xrd", "nmr400", "afm", "qpcr", "tecan", "biotek", "nanodrop"]
SUFFIXES = (
    ["csv"] * 6 + ["xlsx"] * 4 + ["tif"] * 4 + ["parquet", "pdf", "docx", "png", "json", "txt", "fcs", "h5", "raw"]
)

SHORT = ["e", "p", "x", "7", "pl", "ex", "te", "20", "qc", "hp", "z", "ab", "ru", "v2", "se", "fi", "r", "t", "0", "ca"]


def names(count: int, chance: random.Random) -> Iterator[str]:
    """Names as people and instruments give them."""
    for _ in range(count):
        first, second = chance.choice(WORDS), chance.choice(WORDS)
        day = f"{chance.randrange(2019, 2026)}{chance.randrange(1, 13):02}{chance.randrange(1, 29):02}"
        number = chance.randrange(10 ** chance.choice([1, 2, 3, 4]))
        suffix = chance.choice(SUFFIXES)
        yield chance.choice(
            [
                f"{day}_{first}_{second}_{number:03}.{suffix}",
                f"{day[:4]}-{day[4:6]}-{day[6:]} {first} {second} {chance.choice(INITIALS)}.{suffix}",
                f"{first}-{number}.{suffix}",
                f"{first}_{second}_v{chance.randrange(1, 9)}.{suffix}",
                f"{first.capitalize()}{second.capitalize()}{number}.{suffix}",
                f"{chance.choice(INSTRUMENTS)}_{first}_run{number:04}_{day}.{suffix}",
                f"plate_{number:02}_{chance.choice('ABCDEFGH')}{chance.randrange(1, 13):02}_{first}.{suffix}",
                f"sample {number} ({first}, {second}).{suffix}",
            ]
        )


def queries(chance: random.Random) -> list[str]:
    """Two hundred: words, misspelt words, several words, beginnings, and one or two letters."""
    long = [word for word in WORDS if len(word) >= 8]
    whole = chance.sample(WORDS, 50)
    wrong = ["expermient", *(_misspelt(word, chance) for word in chance.sample(long, 59))]
    several = [f"{chance.choice(WORDS)} {chance.choice(WORDS)}" for _ in range(30)]
    several += [f"{chance.choice(INSTRUMENTS)} {_misspelt(chance.choice(long), chance)}" for _ in range(10)]
    begun = [word[: chance.randrange(3, 6)] for word in chance.sample(long, 30)]
    return whole + wrong + several + begun + SHORT


def _misspelt(word: str, chance: random.Random) -> str:
    at = chance.randrange(2, len(word) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return chance.choice([swapped, word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="?", type=int, default=100_000)
    count = parser.parse_args().names
    chance = random.Random(2024)
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(_opened(Path(folder))) as opened:
        token = _fill(opened, count, chance)
        _index(opened, count)
        data_folder = Path(folder)
        # Two hundred queries one after another are more than one user may ask.
        (data_folder / "server.toml").write_text('[limits]\nsearch = "1000000 per second"\n')
        app = build(engines_at(data_folder, Signer(b""), database=opened))
        _ask(app.test_client(), token, queries(chance))


def _opened(data: Path) -> database.Database:
    opened = database.Database(data / database.FILE_NAME)
    migration.migrate(opened, data / "backups", [migration.own_history()])
    return opened


def _fill(opened: database.Database, count: int, chance: random.Random) -> str:
    """An organization with `count` names in folders of 200; returns a token of its member."""
    with opened.write(SERVER) as session:
        organization = directory.create_organization(session, [tree.plant], "lab")
        user = directory.create_user(session, "ada")
        directory.add_member(session, user, organization)
        (parent,) = session.scalars(sa.select(Node.id))
        rows = []
        for n, name in enumerate(names(count, chance)):
            parent = parent if n % 200 else 1
            rows.append({"organization_id": 1, "parent_id": parent, "name": f"{name}", "uid": new_uid()})
            if n % 200 == 0:
                rows[-1]["name"] = f"{n // 200} {name}"
                parent = session.scalar(sa.insert(Node).returning(Node.id), rows.pop()) or 1
        session.execute(sa.insert(Node).prefix_with("OR IGNORE"), rows)
        return directory.create_token(session, user)


def _index(opened: database.Database, count: int) -> None:
    before, started = _size(opened), time.perf_counter()
    with opened.write(SERVER) as session:
        nodes = session.execute(sa.select(Node.uid, Node.name).where(Node.parent_id.is_not(None))).all()
        for uid, name in nodes:
            index.add(session, 1, "folder", uid, name)
    took = time.perf_counter() - started
    print(f"{len(nodes)} names of {statistics.mean(len(name) for _, name in nodes):.0f} characters on average")
    print(f"the index takes {(_size(opened) - before) / len(nodes):.0f} bytes and {took / count * 1e6:.0f} us per name")


def _size(opened: database.Database) -> int:
    with opened.read() as session:
        return int(session.scalar(sa.text("PRAGMA page_count")) or 0) * 4096


def _ask(client: object, token: str, queries: list[str]) -> None:
    def search_for(query: str) -> tuple[float, list[dict[str, str]]]:
        started = time.perf_counter()
        answer = client.get(  # type: ignore[attr-defined]
            "/v1/orgs/lab/search", query_string={"query": query}, headers={"Authorization": f"Bearer {token}"}
        )
        return (time.perf_counter() - started) * 1000, answer.get_json()["items"]

    results = search_for("expermient")[1]
    print(f"expermient finds {len(results)}, first: {', '.join(result['name'] for result in results[:3])}")
    assert results[0]["name"].lower().find("experiment") >= 0
    kinds = {"whole": queries[:50], "misspelt": queries[50:110], "several": queries[110:150], "begun": queries[150:180]}
    times: list[float] = []
    for kind, some in {**kinds, "1-2 letters": queries[180:]}.items():
        taken = [min(search_for(query)[0] for _ in range(3)) for query in some]
        times += taken
        print(f"{kind}: {len(some)} queries, median {statistics.median(taken):.0f} ms, longest {max(taken):.0f} ms")
    tail = statistics.quantiles(times, n=20)[-1]
    print(f"all {len(times)}: median {statistics.median(times):.0f} ms, 95th percentile {tail:.0f} ms")


if __name__ == "__main__":
    main()
