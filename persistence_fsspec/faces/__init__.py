"""Front doors: each a page of names over `FSSpecPersistence`, loaded only when it is used."""
